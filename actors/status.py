"""A shard's state as others see it."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from actors.commit import Commit
from actors.meter import Meter
from actors.partitions import OwnedPartition, Ownership
from fleetpulse.engine import Engine
from fleetpulse.live import PartitionStatus, ShardStatus
from fleetpulse.ports import PartitionPause

EndOffset = Callable[[int], int | None]


def shard_status(
    meter: Meter,
    engine: Engine,
    ownership: Ownership,
    commit: Commit,
    end_offset: EndOffset,
    *,
    full: bool,
    pauses: Mapping[int, PartitionPause],
) -> ShardStatus:
    """From any thread; the numbers are of slightly different moments.

    full: nothing is fetched because a sink is at its bound.
    """
    running = [
        _running(partition, own, end_offset(partition), pauses.get(partition), full=full)
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
        passive=engine.directory.passive_total,
        device_bytes=engine.directory.row_bytes_used,
        busy_fraction=meter.busy.fraction,
        step_ms=meter.step_ms,
        commit_ms=max((writer.write_ms for writer in commit.writers.values()), default=0.0),
        paused_total=engine.paused_total,
        causes=meter.causes.listed(),
    )


def _running(
    partition: int,
    own: OwnedPartition,
    end: int | None,
    pause: PartitionPause | None,
    *,
    full: bool,
) -> PartitionStatus:
    recovering = own.next_offset < own.replay_until
    state = "paused" if full or pause else "recovering" if recovering else "running"
    lag = max(0, (end or own.next_offset) - own.next_offset)
    behind_s = max(0.0, time.time() - own.log_time_us / 1e6) if lag and own.log_time_us else 0.0
    own.busy.spend(0.0)
    return PartitionStatus(
        partition=partition,
        next_offset=own.next_offset,
        lag=lag,
        log_time_us=own.log_time_us,
        snapshot_offset=own.snapshot_offset,
        state=state,
        remedy=_paused(partition, pause) if pause else "",
        behind_s=round(behind_s, 1),
        restore_s=round(own.restore_s, 3),
        busy_fraction=round(own.busy.fraction, 4),
        replay_s=round(own.busy_s, 3),
        snapshot_age_s=round(time.monotonic() - own.saved_s, 1),
    )


def _paused(partition: int, pause: PartitionPause) -> str:
    since = datetime.fromtimestamp(pause.since_us / 1e6, UTC)
    return (
        f"paused by {pause.paused_by} since {since:%Y-%m-%d %H:%M:%S}Z: its records wait in the "
        f"log; `fleetpulse resume --partition {partition}`"
    )
