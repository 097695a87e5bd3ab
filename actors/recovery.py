"""From which offset a partition continues, or why it must not.

A partition never skips: whatever would lose or repeat effects stops it, with the remedy.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from actors.partitions import OwnedPartition, SinkPosition
from fleetpulse.errors import BrokerUnavailable, PartitionStopped
from fleetpulse.ports import Claim, SnapshotStore
from fleetpulse.snapshot import RESULT_VERSIONS, PartitionSnapshot

CONFIRM_S: Final = 10.0
"""A leader that was replaced while it stood still answers from its own log until it hears so."""
_ASK_AGAIN_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class LogBounds:
    """What the broker holds of a partition: offsets [low, high) of one topic."""

    topic_id: str
    low: int
    high: int


Bounds = Callable[[Sequence[int]], Mapping[int, LogBounds]]


def confirmed(
    bounds: Bounds, written: Mapping[int, int], stopped: Callable[[float], bool]
) -> Mapping[int, LogBounds]:
    """Bounds of the partitions in `written`: offsets up to which effects of them were written.

    A log that ends before is asked again for a while before it is believed. stopped: waits for so
    many seconds, or until the shard is stopped, which it answers. Raises BrokerUnavailable where a
    partition has no leader.
    """
    deadline_s = time.monotonic() + CONFIRM_S
    while True:
        found = bounds(list(written))
        short = any(found[partition].high < offset for partition, offset in written.items())
        if not short or time.monotonic() > deadline_s or stopped(_ASK_AGAIN_S):
            break
    if any(each.high < 0 for each in found.values()):
        # The library's word where no leader answered; it may keep to one that is gone.
        raise BrokerUnavailable("kafka: a partition has no leader")
    return found


def written_until(snapshot: PartitionSnapshot | None, claims: Mapping[str, Claim]) -> int:
    """The newest offset that the snapshot or a sink has of a partition."""
    sinks = [claim.next_offset or 0 for claim in claims.values()]
    return max([snapshot.next_offset if snapshot else 0, *sinks])


def resume(
    partition: int,
    snapshot: PartitionSnapshot | None,
    claims: dict[str, Claim],
    bounds: LogBounds,
) -> OwnedPartition:
    """Where to continue; raises PartitionStopped."""
    if snapshot is not None:
        _check_snapshot(partition, snapshot, bounds)
    start = snapshot.next_offset if snapshot else bounds.low
    if snapshot is None and bounds.low > 0:
        raise PartitionStopped(
            partition,
            f"there is no snapshot and the log begins at offset {bounds.low}",
            remedy="restore a snapshot, or delete the telemetry topic and start anew",
        )
    sinks: dict[str, SinkPosition] = {}
    for name, claim in claims.items():
        reached = start if claim.next_offset is None else claim.next_offset
        if claim.next_offset is None and snapshot is not None:
            reached = -1
        if reached < start:
            raise PartitionStopped(
                partition,
                f"sink {name} is at {claim.next_offset or 0}, behind the snapshot at {start}",
                remedy="restore a snapshot that is as old as the sink, or the newer sink",
            )
        if reached > bounds.high:
            raise PartitionStopped(
                partition,
                f"sink {name} is at offset {reached}, beyond the log's end at {bounds.high}",
                remedy="the log was truncated: restore it, or restore sinks and snapshots with it",
            )
        sinks[name] = SinkPosition(claim.owner_epoch, reached)
    return OwnedPartition(next_offset=start, sinks=sinks, snapshot_offset=start)


def loaded(store: SnapshotStore, partition: int) -> tuple[PartitionSnapshot | None, float]:
    """The newest snapshot, and how many seconds reading it took."""
    begun_s = time.perf_counter()
    return store.load(partition), time.perf_counter() - begun_s


def restored(partition: int, own: OwnedPartition, snapshot: PartitionSnapshot | None) -> str:
    """A line for the log."""
    cohorts = snapshot.cohorts if snapshot else []
    devices = sum(len(states.keys) for states in cohorts)
    active = sum(len(states.inline) for states in cohorts)
    return (
        f"partition {partition} is restored at offset {own.next_offset} in {own.restore_s:.3f} s: "
        f"{devices} devices, {active} of them active"
    )


def other_version(partition: int, version: int) -> PartitionStopped:
    """This release does not compute such results."""
    known = ", ".join(map(str, sorted(RESULT_VERSIONS)))
    remedy = "run a release that does"
    if version < min(RESULT_VERSIONS):
        remedy += ", or remove the partition's snapshots and start anew with a new topic"
    return PartitionStopped(
        partition,
        f"its results are version {version}; this release computes version {known}",
        remedy=remedy,
    )


def _check_snapshot(partition: int, snapshot: PartitionSnapshot, bounds: LogBounds) -> None:
    if snapshot.topic_id != bounds.topic_id:
        raise PartitionStopped(
            partition,
            "the telemetry topic was re-created since the snapshot",
            remedy="remove the partition's snapshots to start anew with the new topic",
        )
    if snapshot.result_version not in RESULT_VERSIONS:
        raise other_version(partition, snapshot.result_version)
    if snapshot.next_offset < bounds.low:
        raise PartitionStopped(
            partition,
            f"the snapshot at {snapshot.next_offset} is older than the log, which begins at "
            f"{bounds.low}",
            remedy="restore a newer snapshot; keep retention above the age of snapshots",
        )
    if snapshot.next_offset > bounds.high:
        raise PartitionStopped(
            partition,
            f"the snapshot at {snapshot.next_offset} is beyond the log's end at {bounds.high}",
            remedy="the log was truncated: restore it, or an older snapshot",
        )
