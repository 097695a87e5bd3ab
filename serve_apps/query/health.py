"""`GET /health`: every part, every partition, and what a person can do about what is wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from pydantic import BaseModel

from fleetpulse.errors import FleetpulseError
from fleetpulse.live import ShardStatus

CHECK_TIMEOUT_S: Final = 5.0

Check = Callable[[], Awaitable[None]]
"""Returns when the part works; raises what is wrong with it."""


class Part(BaseModel):
    """One thing that must work."""

    ok: bool
    problem: str = ""


class PartitionHealth(BaseModel):
    """Where a partition is. lag: records behind the log's end."""

    partition: int
    state: str
    shard: str
    lag: int
    next_offset: int
    snapshot_offset: int
    remedy: str


class ShardHealth(BaseModel):
    """One shard's counters since its start."""

    shard: str
    devices: int
    samples_total: int
    windows_total: int
    alerts_total: int
    dead_total: int
    late_total: int
    busy_fraction: float
    step_ms: float
    commit_ms: float


class Health(BaseModel):
    """unhealthy: something does not work. degraded: it works, but not for all data."""

    status: Literal["ok", "degraded", "unhealthy"]
    parts: dict[str, Part]
    partitions: list[PartitionHealth]
    shards: list[ShardHealth]
    lag: int


class HealthService:
    """Asks every part at once, each within `CHECK_TIMEOUT_S`."""

    def __init__(
        self,
        checks: dict[str, Check],
        shards: Callable[[], Awaitable[list[ShardStatus]]],
        partitions: int,
    ) -> None:
        self._checks = checks
        self._shards = shards
        self._partitions = partitions

    async def report(self) -> Health:
        """The state of everything."""
        shards_of = asyncio.create_task(self._statuses())
        answers = await asyncio.gather(*(_try(check) for check in self._checks.values()))
        parts = dict(zip(self._checks, answers, strict=True))
        statuses = await shards_of
        partitions = self._partition_health(statuses)
        stopped = sum(each.state in ("stopped", "unowned") for each in partitions)
        parts["shards"] = Part(
            ok=stopped < self._partitions,
            problem=f"{stopped} of {self._partitions} partitions do not run" if stopped else "",
        )
        working = all(part.ok for part in parts.values())
        return Health(
            status="unhealthy" if not working else "degraded" if stopped else "ok",
            parts=parts,
            partitions=partitions,
            shards=[_shard_health(status) for status in statuses],
            lag=sum(each.lag for each in partitions),
        )

    async def _statuses(self) -> list[ShardStatus]:
        try:
            return await asyncio.wait_for(self._shards(), CHECK_TIMEOUT_S)
        except (FleetpulseError, TimeoutError):
            return []

    def _partition_health(self, statuses: list[ShardStatus]) -> list[PartitionHealth]:
        found = {
            part.partition: PartitionHealth(
                partition=part.partition,
                state=part.state,
                shard=status.shard,
                lag=part.lag,
                next_offset=part.next_offset,
                snapshot_offset=part.snapshot_offset,
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
        next_offset=0,
        snapshot_offset=0,
        remedy="no shard answers for it; it is taken over within seconds of a shard's end",
    )


def _shard_health(status: ShardStatus) -> ShardHealth:
    return ShardHealth(
        shard=status.shard,
        devices=status.devices,
        samples_total=status.samples_total,
        windows_total=status.windows_total,
        alerts_total=status.alerts_total,
        dead_total=status.dead_total,
        late_total=status.late_total,
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
