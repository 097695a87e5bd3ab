"""A query replica without Ray and PostgreSQL: the real hub in this process, rows in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any

import numpy as np

from actors.live_hub import LiveHub
from fleetpulse.effects import AlertEvent, SessionEvent, SessionKind, SessionSummary
from fleetpulse.identity import DeviceKey
from fleetpulse.live import (
    DeviceView,
    LiveAlert,
    LivePicture,
    LiveSamples,
    LiveScore,
    LiveUpdate,
    LiveWish,
    PartitionStatus,
    ShardStatus,
)
from fleetpulse.profile import AlertRule, Profile
from fleetpulse.reads import (
    AlertRow,
    DeviceRow,
    PeriodFilter,
    PeriodKey,
    Resolution,
    RollupRow,
    SessionRow,
    TopQuestion,
    TopRow,
)
from fleetpulse.recompute.job import Mark, State
from fleetpulse.recompute.requests import JobRow
from fleetpulse.recompute.status import RecomputeStatus

START_US = 1_790_000_000_000_000
PUMP = Profile(name="pump", channels=("vib_x", "temp"), rate_hz=200, alert=AlertRule(threshold=2.0))


class LocalHub:
    """The hub with the calling convention of a Ray handle."""

    def __init__(self) -> None:
        self.hub = LiveHub("127.0.0.1")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.hub, name)
        return type("Method", (), {"remote": staticmethod(method)})


@dataclass
class MemoryReads:
    """Rows in lists."""

    device_rows: list[DeviceRow] = field(default_factory=list)
    alert_rows: list[AlertRow] = field(default_factory=list)
    rollup_rows: list[RollupRow] = field(default_factory=list)
    session_rows: list[SessionRow] = field(default_factory=list)
    top_rows: list[TopRow] = field(default_factory=list)
    failure: Exception | None = None

    async def devices(self, tenant: str, search: str, after: str, limit: int) -> list[DeviceRow]:
        rows = sorted(self.device_rows, key=lambda row: row.device_id)
        found = [row for row in rows if row.device_id > after and search in row.device_id]
        return [row for row in found if row.tenant == tenant][:limit]

    async def device(self, tenant: str, device_id: str) -> DeviceRow | None:
        rows = (r for r in self.device_rows if (r.tenant, r.device_id) == (tenant, device_id))
        return next(rows, None)

    async def rollups(
        self,
        tenant: str,
        device_id: str,
        resolution: Resolution,
        from_us: int,
        to_us: int,
        limit: int,
    ) -> list[RollupRow]:
        return [row for row in self.rollup_rows if from_us <= row.bucket_us < to_us][:limit]

    async def top(self, asked: TopQuestion) -> list[TopRow]:
        rows = [row for row in self.top_rows if row.bucket_us in asked.buckets_us]
        rows.sort(key=lambda row: (row.bucket_us, -getattr(row, f"score_{asked.by}")))
        buckets = groupby(rows, key=lambda row: row.bucket_us)
        return [row for _, found in buckets for row in islice(found, asked.limit)]

    async def alerts(
        self, where: PeriodFilter, before: PeriodKey | None, limit: int
    ) -> list[AlertRow]:
        rows = sorted(self.alert_rows, key=lambda row: (-row.raised_at_us, row.alert_id))
        older = [r for r in rows if before is None or r.raised_at_us < before.begun_us]
        return [r for r in older if where.device_id in (None, r.device_id)][:limit]

    async def sessions(
        self, where: PeriodFilter, before: PeriodKey | None, limit: int
    ) -> list[SessionRow]:
        rows = sorted(self.session_rows, key=lambda row: -row.started_at_us)
        older = [r for r in rows if before is None or r.started_at_us < before.begun_us]
        kept = [r for r in older if where.open in (None, r.ended_at_us is None)]
        return [r for r in kept if where.device_id in (None, r.device_id)][:limit]

    async def session(self, tenant: str, session_id: str) -> SessionRow | None:
        rows = (r for r in self.session_rows if (r.tenant, r.session_id) == (tenant, session_id))
        return next(rows, None)

    async def offline_devices(self) -> set[bytes]:
        rows = [row for row in self.device_rows if not row.online]
        return {DeviceKey(row.tenant, row.device_id).encode() for row in rows}

    async def open_alerts(self) -> set[bytes]:
        rows = [row for row in self.alert_rows if row.cleared_at_us is None]
        return {DeviceKey(row.tenant, row.device_id).encode() for row in rows}

    async def ping(self) -> None:
        if self.failure:
            raise self.failure

    async def close(self) -> None:
        return


@dataclass
class MemoryJobs:
    """Marks in a list, each a job of its own."""

    known: set[str]
    marks: list[Mark] = field(default_factory=list)

    async def unknown(self, tenant: str, device_ids: Sequence[str]) -> list[str]:
        return [each for each in device_ids if tenant != "default" or each not in self.known]

    async def mark(self, marks: Sequence[Mark]) -> list[int]:
        self.marks += marks
        return list(range(len(self.marks) - len(marks) + 1, len(self.marks) + 1))

    async def job(self, tenant: str, job_id: int) -> JobRow | None:
        rows = await self.jobs(tenant, None, None, len(self.marks))
        return next((row for row in rows if row.job_id == job_id), None)

    async def jobs(
        self, tenant: str, state: State | None, before: int | None, limit: int
    ) -> list[JobRow]:
        rows = [
            JobRow(
                number, mark.tenant, mark.device_id, mark.changed.from_us, mark.changed.to_us,
                mark.cause, "marked", 1, 0, 0, None, "", START_US, None, None,
            )
            for number, mark in enumerate(self.marks, 1)
            if mark.tenant == tenant and state in (None, "marked")
        ]  # fmt: skip
        return [row for row in reversed(rows) if before is None or row.job_id < before][:limit]

    async def status(self) -> RecomputeStatus:
        return RecomputeStatus(len(self.marks), 0, 0, 0, 0, 1.5, 20)

    async def close(self) -> None:
        return


class LocalFleet:
    """Devices' views by key, and shards' states."""

    def __init__(self) -> None:
        self.views: dict[bytes, DeviceView] = {}
        self.statuses: list[ShardStatus] = [shard_status()]

    async def view(self, key: bytes) -> DeviceView | None:
        return self.views.get(key)

    async def status(self) -> list[ShardStatus]:
        return self.statuses


class MemoryDevices:
    """Notes what it is asked to write."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def pause(self, key: DeviceKey, *, paused: bool) -> str | None:
        self.written.append(f"{'pause' if paused else 'resume'} {key.encode().decode()}")
        return self.written[-1]

    def forget(self, key: DeviceKey) -> str:
        self.written.append(f"forget {key.encode().decode()}")
        return self.written[-1]


class MemoryPartitions:
    """Who paused which."""

    def __init__(self) -> None:
        self.paused: dict[int, str] = {}

    def pause(self, partition: int, paused_by: str) -> None:
        self.paused.setdefault(partition, paused_by)

    def resume(self, partition: int) -> None:
        self.paused.pop(partition, None)


@dataclass
class MemoryControls:
    """What people changed."""

    devices: MemoryDevices = field(default_factory=MemoryDevices)
    partitions: MemoryPartitions = field(default_factory=MemoryPartitions)


@dataclass
class Replica:
    """A query replica and what it is built on."""

    hub: LocalHub
    reads: MemoryReads
    fleet: LocalFleet
    checks: dict[str, Callable[[], Awaitable[None]]]
    app: Any
    controls: MemoryControls
    jobs: MemoryJobs
    url: str = ""


def shard_status(samples: int = 0, state: str = "running", remedy: str = "") -> ShardStatus:
    parts = tuple(
        PartitionStatus(n, 100, 7, 0, 90, state if n == 0 else "running", remedy if n == 0 else "")
        for n in range(2)
    )
    return ShardStatus("shard-0", 1, parts, 50, samples, 10, 1, 0, 0, 2, 0.25, 1.5, 2.5)


def device_row(device: str, *, online: bool = True, alert_open: bool = False) -> DeviceRow:
    heard_us = None if online else START_US - 9
    return DeviceRow(
        "default", device, "pump@1", START_US, alert_open, online, START_US + 7, heard_us
    )


def session_row(number: int, *, ended: bool) -> SessionRow:
    nan = float("nan")
    summary = SessionSummary(
        PUMP.channels, (400, 0), (-1.0, nan), (1.0, nan), (0.0, nan), (0.5, nan),
        3, 1, 0.5, 2.5, 1.5, 0.25,
    )  # fmt: skip
    started_us = START_US + number * 60_000_000
    return SessionRow(
        f"{number:032x}",
        "default",
        f"pump-{number % 2}",
        "pump@1",
        started_us,
        started_us + 9_000_000 if ended else None,
        summary if ended else None,
    )


def session_event(row: SessionRow) -> SessionEvent:
    kind: SessionKind = "started" if row.ended_at_us is None else "ended"
    return SessionEvent(
        0, row.session_id, row.tenant, row.device_id, row.profile, kind,
        row.started_at_us, row.ended_at_us, row.summary,
    )  # fmt: skip


def live_samples(device: str, end_us: int, count: int = 20) -> LiveSamples:
    t_us = end_us - np.arange(count, 0, -1) * 5_000
    phase = t_us / 1e6 * 2 * np.pi
    values = np.stack([np.sin(phase * 7), 60 + np.sin(phase / 10)], axis=1)
    return LiveSamples(f"default/{device}".encode(), PUMP.channels, t_us, values.astype(np.float32))


def picture(scores: dict[str, float], end_us: int) -> LivePicture:
    count = len(scores)
    return LivePicture(
        keys=[f"default/{device}".encode() for device in scores],
        scores=np.array(list(scores.values()), np.float32),
        thresholds=np.full(count, 2.0, np.float32),
        score_us=np.full(count, end_us, np.int64),
        latencies_ms=np.empty(0, np.float32),
    )


def live_scores(scores: dict[str, float], end_us: int) -> list[LiveScore]:
    return [
        LiveScore(f"default/{device}".encode(), end_us, score, 2.0, "zscore@1")
        for device, score in scores.items()
    ]


def alert_event(device: str, at_us: int, *, cleared: bool = False) -> AlertEvent:
    return AlertEvent(
        partition=0,
        alert_id=f"alert-of-{device}",
        tenant="default",
        device_id=device,
        kind="cleared" if cleared else "raised",
        at_us=at_us,
        raised_at_us=at_us - (3_000_000 if cleared else 0),
        window_start_us=at_us - 1_280_000,
        window_end_us=at_us,
        score=3.5,
        peak_score=4.25,
        threshold=2.0,
        model="zscore@1",
        profile="pump@1",
    )


def live_alert(device: str, at_us: int, *, cleared: bool = False, stale: bool = False) -> LiveAlert:
    return LiveAlert(alert_event(device, at_us, cleared=cleared), stale)


def publish(hub: LocalHub, loop: asyncio.AbstractEventLoop, update: LiveUpdate) -> LiveWish:
    """From the test's thread into the server's loop."""
    return asyncio.run_coroutine_threadsafe(hub.hub.publish(update), loop).result(5)


Served = tuple[Replica, asyncio.AbstractEventLoop]
"""A replica behind a real server, and that server's loop."""
