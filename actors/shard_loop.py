"""One incarnation of a shard: poll, step, score, conclude, hand over, again.

It runs in one thread and ends by `stop` or by the first error; the owner then starts another
incarnation, which recovers from snapshots. Ports are handed in, so it runs without Ray.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Lock

import numpy as np

from actors.commit import Commit
from actors.feed import LiveFeed
from actors.meter import Meter
from actors.partitions import Ownership
from actors.quarantine import Quarantine
from actors.recovery import LogBounds, resume
from actors.snapshotter import Snapshotter
from fleetpulse.effects import Effects, Rejection
from fleetpulse.engine import Engine, cut_at_controls
from fleetpulse.errors import FleetpulseError, PartitionStopped
from fleetpulse.identity import partition_of
from fleetpulse.live import DeviceView
from fleetpulse.persistence import drop_partition, import_partition
from fleetpulse.ports import LogReader, RecordBatch, Scorer, SnapshotStore
from fleetpulse.settings import ShardSettings
from fleetpulse.view import device_view

logger = logging.getLogger(__name__)

DRAIN_TIMEOUT_S = 8.0
NO_RECORDS = RecordBatch(
    np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64), [], []
)
Bounds = Callable[[Sequence[int]], Mapping[int, LogBounds]]


@dataclass(frozen=True, slots=True)
class ShardParts:
    """What a loop works with; all of it belongs to this incarnation."""

    engine: Engine
    ownership: Ownership
    commit: Commit
    snapshotter: Snapshotter
    snapshots: SnapshotStore
    scorer: Scorer
    feed: LiveFeed
    bounds: Bounds


class ShardLoop:
    """Drives the engine over the partitions that its reader is assigned. Is their listener."""

    def __init__(
        self, parts: ShardParts, settings: ShardSettings, quarantine: Quarantine, meter: Meter
    ) -> None:
        self._parts = parts
        self._engine = parts.engine
        self._ownership = parts.ownership
        self._commit = parts.commit
        self._settings = settings
        self._quarantine = quarantine
        self._meter = meter
        self._reader: LogReader | None = None
        self.paused = False
        """Fetching nothing, because a sink is at its bound."""
        self._arrived: set[int] = set()
        """Assigned, not recovered yet."""
        self._stopping = Event()
        self._broken = False
        """An error came in the middle of a turn: the engine may hold half of a cut."""
        self._reading = Lock()
        """Held while the engine changes, so that views are whole."""

    def attach(self, reader: LogReader) -> None:
        """The reader that this loop polls and listens to."""
        self._reader = reader

    def run(self) -> None:
        """Until `stop`; raises what ends the incarnation."""
        while not self._stopping.is_set():
            self.turn()
        self._give_up(sorted(self._ownership.owned), hand_over=True)

    def stop(self) -> None:
        """Let `run` commit, snapshot and return. From any thread."""
        self._stopping.set()

    def turn(self) -> None:
        """One poll and what follows from it; after an error there must be no other."""
        try:
            self._turn(self._require_reader())
        except BaseException:
            self._broken = True
            raise

    def view(self, key: bytes) -> tuple[bool, DeviceView | None]:
        """Whether the device's partition is here, and the device if it is known. From any thread.

        Its newest window may not be scored yet.
        """
        partition = partition_of(key, self._engine.partitions_total)
        with self._reading:
            return partition in self._ownership.owned, device_view(self._engine, key)

    # the way of a batch

    def _turn(self, reader: LogReader) -> None:
        # What was fetched of a partition that came anew was fetched in an earlier ownership.
        batch = self._of_owned(self._poll(reader))
        self._meter.polled(batch)
        if self._arrived:
            self._recover(reader, sorted(self._arrived))
            self._arrived.clear()
        if len(batch):
            for cut in self._ownership.cuts(batch):
                for part, rejection in self._quarantine.singled_out(cut):
                    self._take(part, rejection)
        self._parts.snapshotter.maybe_take()
        self._parts.feed.pulse()
        self._hold_back(reader)

    def _poll(self, reader: LogReader) -> RecordBatch:
        """The next records; a partition that cannot continue stops, and the others go on."""
        try:
            return reader.poll(
                self._settings.poll_records_max, self._settings.poll_timeout_ms / 1000
            )
        except PartitionStopped as stopped:
            self._stop_partition(stopped)
            return NO_RECORDS

    def _stop_partition(self, stopped: PartitionStopped) -> None:
        self._give_up([stopped.partition], hand_over=False)
        self._refuse(stopped)

    def _of_owned(self, batch: RecordBatch) -> RecordBatch:
        """Records fetched just before a partition was stopped or given up are not ours."""
        owned = np.fromiter(self._ownership.owned, np.int32, len(self._ownership.owned))
        mine = np.isin(batch.partitions, owned)
        return batch if mine.all() else batch.take(np.flatnonzero(mine))

    def _take(self, batch: RecordBatch, rejection: Rejection | None) -> None:
        if rejection is not None:
            self._commit.take(batch, Effects(dead=[rejection]), 0.0)
            return
        for part in cut_at_controls(batch):
            begun = time.perf_counter()
            samples = self._engine.samples_total
            effects = self._process(part)
            busy_s = time.perf_counter() - begun
            self._meter.processed(effects, self._engine.samples_total - samples, busy_s)
            retold = self._commit.take(part, effects, busy_s)
            self._parts.feed.decided(effects)
            self._parts.feed.committed(Effects(alerts=retold))

    def _process(self, batch: RecordBatch) -> Effects:
        try:
            with self._reading:
                windows = self._engine.step(batch)
            scores = [
                self._parts.scorer.score(window.profile.scorer, window.samples)
                for window in windows
            ]
            with self._reading:
                return self._engine.conclude(scores)
        except FleetpulseError:
            raise
        except Exception as error:
            self._quarantine.blame(batch, error)
            raise

    def _hold_back(self, reader: LogReader) -> None:
        """Backpressure: while a sink is at its bound, stay in the group but fetch nothing."""
        full = self._commit.full
        if full != self.paused:
            partitions = sorted(self._ownership.owned)
            (reader.pause if full else reader.resume)(partitions)
            self.paused = full

    # assignment

    def assigned(self, partitions: Sequence[int]) -> None:
        """They are recovered after the poll: claims need the membership that it brings."""
        self._arrived |= set(partitions)

    def _recover(self, reader: LogReader, partitions: Sequence[int]) -> None:
        """Continue each partition where its state ends, or stop it with the reason.

        Claims come first: until then a former owner may still move the sinks.
        """
        claims = self._commit.claim(partitions)
        found = {partition: self._parts.snapshots.load(partition) for partition in partitions}
        bounds = self._parts.bounds(partitions)
        start: dict[int, int] = {}
        for partition, snapshot in found.items():
            self._ownership.stopped.pop(partition, None)
            mine = {name: claimed[partition] for name, claimed in claims.items()}
            try:
                own = resume(partition, snapshot, mine, bounds[partition])
            except PartitionStopped as stopped:
                self._refuse(stopped)
                continue
            with self._reading:
                import_partition(self._engine, partition, snapshot)
                self._ownership.owned[partition] = own
            for name, position in own.sinks.items():
                self._commit.writers[name].begin(partition, position.next_offset)
            start[partition] = own.next_offset
        reader.start(start)
        logger.info("owns %s", start)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Commit and snapshot these, then forget them."""
        self._give_up(sorted(partitions), hand_over=True)

    def lost(self, partitions: Sequence[int]) -> None:
        """Already another's: whatever is not written is that one's to do."""
        self._give_up(sorted(partitions), hand_over=False)

    def _give_up(self, partitions: Sequence[int], *, hand_over: bool) -> None:
        self._arrived -= set(partitions)
        owned = [p for p in partitions if p in self._ownership.owned]
        if hand_over and owned and not self._broken:
            self._commit.drain(DRAIN_TIMEOUT_S)
            self._parts.snapshotter.take_now(owned)
        self._parts.snapshotter.forget(owned)
        self._commit.forget(owned)
        with self._reading:
            for partition in owned:
                del self._ownership.owned[partition]
                drop_partition(self._engine, partition)
        for partition in partitions:
            self._ownership.stopped.pop(partition, None)
        logger.info("gave up %s", list(partitions))

    def _refuse(self, stopped: PartitionStopped) -> None:
        """The partition stays ours and is not fetched until a person has acted."""
        logger.error("%s", stopped)
        self._ownership.stopped[stopped.partition] = str(stopped)

    def _require_reader(self) -> LogReader:
        if self._reader is None:
            raise RuntimeError("attach a reader first")
        return self._reader
