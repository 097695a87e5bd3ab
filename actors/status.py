"""A shard's state as others see it."""

from collections.abc import Callable

from actors.commit import Commit
from actors.meter import Meter
from actors.partitions import OwnedPartition, Ownership
from fleetpulse.engine import Engine
from fleetpulse.live import PartitionStatus, ShardStatus

EndOffset = Callable[[int], int | None]


def shard_status(
    meter: Meter,
    engine: Engine,
    ownership: Ownership,
    commit: Commit,
    end_offset: EndOffset,
    *,
    paused: bool,
) -> ShardStatus:
    """From any thread; the numbers are of slightly different moments."""
    running = [
        _running(partition, own, end_offset(partition), paused=paused)
        for partition, own in sorted(dict(ownership.owned).items())
    ]
    stopped = [
        PartitionStatus(partition, 0, 0, 0, 0, "stopped", remedy)
        for partition, remedy in sorted(dict(ownership.stopped).items())
    ]
    return ShardStatus(
        shard=meter.shard,
        pid=meter.pid,
        partitions=(*running, *stopped),
        records_total=meter.records_total,
        samples_total=meter.samples_total,
        windows_total=meter.windows_total,
        alerts_total=meter.alerts_total,
        dead_total=meter.dead_total,
        late_total=meter.late_total,
        devices=len(engine.directory),
        busy_fraction=meter.busy_fraction,
        step_ms=meter.step_ms,
        commit_ms=max((writer.write_ms for writer in commit.writers.values()), default=0.0),
    )


def _running(
    partition: int, own: OwnedPartition, end: int | None, *, paused: bool
) -> PartitionStatus:
    recovering = own.next_offset < own.replay_until
    state = "paused" if paused else "recovering" if recovering else "running"
    return PartitionStatus(
        partition=partition,
        next_offset=own.next_offset,
        lag=max(0, (end or own.next_offset) - own.next_offset),
        log_time_us=own.log_time_us,
        snapshot_offset=own.snapshot_offset,
        state=state,
    )
