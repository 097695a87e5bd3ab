"""`GET /health`: every part, every partition, and what a person can do about what is wrong."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Final, Literal

from pydantic import BaseModel

from fleetpulse.errors import FleetpulseError
from fleetpulse.live import Cause, ShardStatus
from fleetpulse.recompute.status import RecomputeStatus
from serve_apps.query.causes import NamedCause, device_causes, hot_partitions

CHECK_TIMEOUT_S: Final = 5.0

Check = Callable[[], Awaitable[None]]
"""Returns when the part works; raises what is wrong with it."""


class Part(BaseModel):
    """One thing that must work."""

    ok: bool
    problem: str = ""


class PartitionHealth(BaseModel):
    """Where a partition is. lag: records behind the log's end; behind_s: the age of the newest
    record that was processed, while others wait; replay_s: processing time since its snapshot,
    snapshot_age_s: time since that one became valid; restore_s: how long its state took to come
    back.
    """

    partition: int
    state: str
    shard: str
    lag: int
    behind_s: float
    next_offset: int
    snapshot_offset: int
    snapshot_age_s: float
    replay_s: float
    restore_s: float
    remedy: str


class ShardHealth(BaseModel):
    """One shard's counters since its start. passive: devices whose state is stored, not in memory;
    device_bytes: memory of the others' states.
    """

    shard: str
    devices: int
    passive: int
    device_bytes: int
    records_total: int
    samples_total: int
    windows_total: int
    alerts_total: int
    dead_total: int
    late_total: int
    paused_total: int
    busy_fraction: float
    step_ms: float
    commit_ms: float


class ViewHealth(BaseModel):
    """A view's tether: its distance from the log's head, in log time and in records."""

    tether_s: float
    tether_records: int


class NextHealth(ViewHealth):
    """The view that corrections are computed in. Its tether_s is the age of the oldest mark that
    waits; following: jobs that hide an open bucket until it ends.
    """

    marked: int
    computing: int
    following: int
    failed: int
    outbox: int
    problem: str


class Views(BaseModel):
    """live answers queries; next is null while no recomputation runs."""

    live: ViewHealth
    next: NextHealth | None


class Health(BaseModel):
    """unhealthy: something does not work. degraded: it works, but not for all data; `causes` and
    the partitions' remedies say why. replay_budget_s: a shard whose partitions' replay_s come to
    more takes a snapshot.
    """

    status: Literal["ok", "degraded", "unhealthy"]
    parts: dict[str, Part]
    partitions: list[PartitionHealth]
    shards: list[ShardHealth]
    lag: int
    behind_s: float
    causes: list[NamedCause]
    views: Views
    replay_budget_s: float


async def _none() -> None:
    """No recomputation."""


class HealthService:
    """Asks every part at once, each within `CHECK_TIMEOUT_S`."""

    def __init__(
        self,
        checks: dict[str, Check],
        shards: Callable[[], Awaitable[list[ShardStatus]]],
        partitions: int,
        refused_at_the_door: Callable[[], Sequence[Cause]] = tuple,
        *,
        recompute: Callable[[], Awaitable[RecomputeStatus | None]] = _none,
        replay_budget_s: float,
    ) -> None:
        """refused_at_the_door: whom the ingest refuses, as of its newest check."""
        self._checks = checks
        self._shards = shards
        self._partitions = partitions
        self._refused_at_the_door = refused_at_the_door
        self._recompute = recompute
        self._replay_budget_s = replay_budget_s

    async def report(self) -> Health:
        """The state of everything."""
        shards_of = asyncio.create_task(self._statuses())
        next_of = asyncio.create_task(self._next())
        answers = await asyncio.gather(*(_try(check) for check in self._checks.values()))
        parts = dict(zip(self._checks, answers, strict=True))
        statuses = await shards_of
        partitions = self._partition_health(statuses)
        stopped = sum(each.state in ("stopped", "unowned") for each in partitions)
        causes = self._causes(statuses)
        limited = stopped or causes or any(each.remedy for each in partitions)
        parts["shards"] = Part(
            ok=stopped < self._partitions,
            problem=f"{stopped} of {self._partitions} partitions do not run" if stopped else "",
        )
        working = all(part.ok for part in parts.values())
        return Health(
            status="unhealthy" if not working else "degraded" if limited else "ok",
            parts=parts,
            partitions=partitions,
            shards=[_shard_health(status) for status in statuses],
            lag=sum(each.lag for each in partitions),
            behind_s=max(each.behind_s for each in partitions),
            causes=[NamedCause.of(each) for each in causes],
            views=Views(
                live=ViewHealth(
                    tether_s=max(each.behind_s for each in partitions),
                    tether_records=sum(each.lag for each in partitions),
                ),
                next=await next_of,
            ),
            replay_budget_s=self._replay_budget_s,
        )

    def _causes(self, statuses: list[ShardStatus]) -> list[Cause]:
        parts = [part for status in statuses for part in status.partitions]
        devices = [cause for status in statuses for cause in status.causes]
        hot = hot_partitions(parts, time.time_ns() // 1000)
        return hot + device_causes([*devices, *self._refused_at_the_door()])

    async def _statuses(self) -> list[ShardStatus]:
        try:
            return await asyncio.wait_for(self._shards(), CHECK_TIMEOUT_S)
        except (FleetpulseError, TimeoutError):
            return []

    async def _next(self) -> NextHealth | None:
        try:
            status = await asyncio.wait_for(self._recompute(), CHECK_TIMEOUT_S)
        except TimeoutError:
            return None
        return NextHealth(**asdict(status)) if status else None

    def _partition_health(self, statuses: list[ShardStatus]) -> list[PartitionHealth]:
        found = {
            part.partition: PartitionHealth(
                partition=part.partition,
                state=part.state,
                shard=status.shard,
                lag=part.lag,
                behind_s=part.behind_s,
                next_offset=part.next_offset,
                snapshot_offset=part.snapshot_offset,
                snapshot_age_s=part.snapshot_age_s,
                replay_s=part.replay_s,
                restore_s=part.restore_s,
                remedy=part.remedy,
            )
            for status in statuses
            for part in status.partitions
        }
        return [found.get(number) or _unowned(number) for number in range(self._partitions)]


def _unowned(partition: int) -> PartitionHealth:
    return PartitionHealth(
        partition=partition,
        state="unowned",
        shard="",
        lag=0,
        behind_s=0.0,
        next_offset=0,
        snapshot_offset=0,
        snapshot_age_s=0.0,
        replay_s=0.0,
        restore_s=0.0,
        remedy="no shard answers for it; it is taken over within seconds of a shard's end",
    )


def _shard_health(status: ShardStatus) -> ShardHealth:
    return ShardHealth(
        shard=status.shard,
        devices=status.devices,
        passive=status.passive,
        device_bytes=status.device_bytes,
        records_total=status.records_total,
        samples_total=status.samples_total,
        windows_total=status.windows_total,
        alerts_total=status.alerts_total,
        dead_total=status.dead_total,
        late_total=status.late_total,
        paused_total=status.paused_total,
        busy_fraction=round(status.busy_fraction, 4),
        step_ms=round(status.step_ms, 3),
        commit_ms=round(status.commit_ms, 3),
    )


async def _try(check: Check) -> Part:
    try:
        await asyncio.wait_for(check(), CHECK_TIMEOUT_S)
    except TimeoutError:
        return Part(ok=False, problem=f"did not answer within {CHECK_TIMEOUT_S:g} s")
    except FleetpulseError as error:
        return Part(ok=False, problem=str(error))
    return Part(ok=True)
