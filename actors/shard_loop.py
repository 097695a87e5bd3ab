"""One incarnation of a shard: poll, step, score, conclude, hand over, again.

It runs in one thread and ends by `stop` or by the first error; the owner then starts another
incarnation, which recovers from snapshots. Ports are handed in, so it runs without Ray.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock

import numpy as np

from actors.activation import Activation
from actors.commit import Commit
from actors.feed import LiveFeed
from actors.memory import Slack
from actors.meter import Meter
from actors.partitions import Ownership
from actors.quarantine import Quarantine
from actors.recovery import (
    Bounds,
    confirmed,
    loaded,
    other_version,
    restored,
    resume,
    written_until,
)
from actors.snapshotter import Snapshotter
from actors.step_size import StepSize
from actors.trace import Tracer
from fleetpulse.effects import Effects, Rejection
from fleetpulse.engine import Engine, cut_at_controls
from fleetpulse.errors import DamagedState, FleetpulseError, PartitionStopped
from fleetpulse.identity import partition_of
from fleetpulse.live import DeviceView
from fleetpulse.persistence import drop_partition, import_partition
from fleetpulse.ports import LogReader, PartitionPause, RecordBatch, Scorer, SnapshotStore
from fleetpulse.settings import ShardSettings
from fleetpulse.snapshot import RESULT_VERSIONS
from fleetpulse.view import device_view, stored_place, stored_view

logger = logging.getLogger(__name__)

DRAIN_TIMEOUT_S = 8.0
_VIEW_ATTEMPTS = 3
NO_RECORDS = RecordBatch(
    np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64), [], []
)
Pauses = Callable[[], Mapping[int, PartitionPause]]
"""Which partitions a person has paused."""


@dataclass(frozen=True, slots=True)
class ShardParts:
    """What a loop works with; all of it belongs to this incarnation."""

    engine: Engine
    ownership: Ownership
    commit: Commit
    snapshotter: Snapshotter
    snapshots: SnapshotStore
    activation: Activation
    scorer: Scorer
    feed: LiveFeed
    bounds: Bounds
    pauses: Pauses
    tracer: Tracer = field(default_factory=Tracer)


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
        self._step = StepSize(settings.poll_records_max, settings.poll_bytes_max)
        self._slack = Slack()
        self._quarantine = quarantine
        self._meter = meter
        self._reader: LogReader | None = None
        self.full = False
        """Fetching nothing, because a sink is at its bound."""
        self._held: set[int] = set()
        """Owned and not fetched."""
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
        for _ in range(_VIEW_ATTEMPTS):
            with self._reading:
                if partition not in self._ownership.owned:
                    return False, None
                place = stored_place(self._engine, key)
                if place is None:
                    return True, device_view(self._engine, key)
            try:
                states = self._parts.snapshots.read(place.profile, place.blob)
            except DamagedState as damage:
                logger.warning("%s cannot be shown: %s", key.decode(), damage)
                continue  # its state may have moved meanwhile
            return True, stored_view(key, place, states)
        return False, None

    # the way of a batch

    def _turn(self, reader: LogReader) -> None:
        # What was fetched of a partition that came anew was fetched in an earlier ownership.
        batch = self._of_owned(self._poll(reader))
        self._parts.tracer.polled()
        self._meter.polled(batch)
        behind = len(batch) >= self._step.records_max
        self._commit.pace(behind=behind)
        if not self.full:
            self._slack.polled(behind=behind)
        self._step.polled(batch)
        if self._arrived:
            self._recover(reader, sorted(self._arrived))
            self._arrived.clear()
        if len(batch):
            for cut in self._ownership.cuts(batch):
                for part, rejection in self._quarantine.singled_out(cut):
                    self._take(part, rejection)
        self._parts.snapshotter.maybe_take()
        self._parts.activation.keep_within(self._reading)
        self._parts.feed.pulse()
        self._hold_back(reader)

    def _poll(self, reader: LogReader) -> RecordBatch:
        """The next records; a partition that cannot continue stops, and the others go on."""
        try:
            return reader.poll(self._step.records_max, self._settings.poll_timeout_ms / 1000)
        except PartitionStopped as stopped:
            self._stop_partition(stopped)
            return NO_RECORDS

    def _stop_fetching(self, stopped: PartitionStopped) -> None:
        self._require_reader().pause([stopped.partition])
        self._stop_partition(stopped)

    def _stop_partition(self, stopped: PartitionStopped) -> None:
        self._give_up([stopped.partition], hand_over=False)
        self._refuse(stopped)

    def _of_owned(self, batch: RecordBatch) -> RecordBatch:
        """Records fetched just before a partition was stopped or given up are not ours."""
        owned = self._ownership.owned.keys()
        if owned >= set(batch.present()):
            return batch
        mine = np.isin(batch.partitions, list(owned))
        return batch.take(np.flatnonzero(mine))

    def _take(self, batch: RecordBatch, rejection: Rejection | None) -> None:
        if self._ownership.stopped:
            batch = self._of_owned(batch)
        if rejection is not None and len(batch):
            self._commit.take(batch, Effects(dead=[rejection]), 0.0)
            return
        for cut in cut_at_controls(batch):
            part = self._awake(cut)
            if not len(part):
                continue
            begun = time.perf_counter()
            samples = self._engine.samples_total
            effects = self._process(part)
            busy_s = time.perf_counter() - begun
            self._parts.tracer.decided(part, effects)
            self._meter.processed(effects, self._engine.samples_total - samples, busy_s)
            retold = self._commit.take(part, effects, busy_s)
            self._parts.feed.decided(effects)
            self._parts.feed.committed(retold)
            for asked in effects.savepoints:
                self._parts.snapshotter.keep(asked.partition, asked.name)

    def _awake(self, batch: RecordBatch) -> RecordBatch:
        """Bring the passive devices of a batch to memory.

        A partition in which that fails stops, and its records are left out; so does one whose
        results are to be of a version that this release does not compute.
        """
        version = self._engine.version_after(batch)
        if version not in RESULT_VERSIONS:
            partition = int(batch.partitions[0])
            self._stop_fetching(other_version(partition, version))
            return self._of_owned(batch)
        needed = self._engine.needed(batch)
        if len(needed):
            fetched, stopped = self._parts.activation.fetch(needed)
            with self._reading:
                for each in fetched:
                    self._engine.directory.activate(each.cohort, each.handles, each.states)
            for reason in stopped:
                self._stop_fetching(reason)
        return self._of_owned(batch) if self._ownership.stopped else batch

    def _process(self, batch: RecordBatch) -> Effects:
        try:
            with self._reading:
                windows = self._engine.step(batch)
            self._parts.tracer.stepped()
            scores = [
                self._parts.scorer.score(window.profile.scorer, window.samples)
                for window in windows
            ]
            self._parts.tracer.scored()
            with self._reading:
                return self._engine.conclude(scores)
        except FleetpulseError:
            raise
        except Exception as error:
            self._quarantine.blame(batch, error)
            raise

    def _hold_back(self, reader: LogReader) -> None:
        """Stay in the group but fetch nothing: of all while a sink is at its bound, and of
        partitions that a person has paused.
        """
        self.full = self._commit.full
        owned = self._ownership.owned.keys()
        wanted = set(owned) if self.full else owned & self._parts.pauses().keys()
        if wanted != self._held:
            reader.pause(sorted(wanted - self._held))
            reader.resume(sorted(self._held - wanted))
            self._held = wanted

    # assignment

    def assigned(self, partitions: Sequence[int]) -> None:
        """They are recovered after the poll: claims need the membership that it brings."""
        self._arrived |= set(partitions)

    def _recover(self, reader: LogReader, partitions: Sequence[int]) -> None:
        """Continue each partition where its state ends, or stop it with the reason.

        Claims come first: until then a former owner may still move the sinks.
        """
        claims = self._commit.claim(partitions)
        found = {partition: loaded(self._parts.snapshots, partition) for partition in partitions}
        mine = {p: {name: claimed[p] for name, claimed in claims.items()} for p in partitions}
        written = {p: written_until(snapshot, mine[p]) for p, (snapshot, _) in found.items()}
        bounds = confirmed(self._parts.bounds, written, self._stopping.wait)
        start: dict[int, int] = {}
        for partition, (snapshot, load_s) in found.items():
            self._ownership.stopped.pop(partition, None)
            try:
                own = resume(partition, snapshot, mine[partition], bounds[partition])
            except PartitionStopped as stopped:
                self._refuse(stopped)
                continue
            begun_s = time.perf_counter()
            with self._reading:
                import_partition(self._engine, partition, snapshot)
                self._ownership.owned[partition] = own
            own.restore_s = load_s + time.perf_counter() - begun_s
            logger.info("%s", restored(partition, own, snapshot))
            for name, position in own.sinks.items():
                self._commit.writers[name].begin(partition, position.next_offset)
            start[partition] = own.next_offset
        reader.start(start)
        self._held -= start.keys()
        logger.info("owns %s", start)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Commit and snapshot these, then forget them."""
        self._give_up(sorted(partitions), hand_over=True)

    def lost(self, partitions: Sequence[int]) -> None:
        """Already another's: whatever is not written is that one's to do."""
        self._give_up(sorted(partitions), hand_over=False)

    def _give_up(self, partitions: Sequence[int], *, hand_over: bool) -> None:
        self._arrived -= set(partitions)
        self._held -= set(partitions)
        owned = [p for p in partitions if p in self._ownership.owned]
        if hand_over and owned and not self._broken:
            self._commit.drain(DRAIN_TIMEOUT_S)
            self._parts.snapshotter.take_now(owned)
        self._parts.snapshotter.forget(owned)
        self._parts.activation.forget(owned)
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
