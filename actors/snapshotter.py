"""Takes snapshots off the loop: a copy between two batches, stored when every sink is that far.

Partitions are due when replaying what the shard has processed since their snapshots would use
up the replay budget, or after a while in any case, so that retention never overtakes a quiet one.
Only devices to which something happened since are copied; the others' states are stored already.
"""

import logging
import time
from collections.abc import Callable
from threading import Condition, Thread

from actors.commit import Commit
from actors.partitions import Ownership
from actors.sink_writer import IDLE_S
from actors.written import Moved, Stored, Written, put
from fleetpulse.columns import Buffers
from fleetpulse.engine import Engine
from fleetpulse.persistence import export_partition
from fleetpulse.ports import SnapshotStore
from fleetpulse.snapshot import PartitionSnapshot

logger = logging.getLogger(__name__)

AGE_MAX_S = 60.0
SINKS_TIMEOUT_S = 30.0
TELL_TIMEOUT_S = 5.0


class Snapshotter:
    """One snapshot at a time, in a thread that ends at `close`."""

    def __init__(
        self,
        store: SnapshotStore,
        engine: Engine,
        ownership: Ownership,
        commit: Commit,
        *,
        topic_id: str,
        replay_budget_s: float,
        told: Callable[[], bool] = lambda: True,
    ) -> None:
        """told: whether people know of every committed alert; a snapshot waits for it."""
        self._store = store
        self._engine = engine
        self._ownership = ownership
        self._commit = commit
        self._topic_id = topic_id
        self._budget_s = replay_budget_s
        self._told = told
        self._taken_s: dict[int, float] = {}
        self._buffers = Buffers()
        self._changed = Condition()
        self._job: PartitionSnapshot | None = None
        self._savepoint = ""
        """Under which name the job is kept besides."""
        self._written: list[Written] = []
        self._closing = False
        self._thread = Thread(target=self._run, name="snapshotter", daemon=True)
        self._thread.start()

    def maybe_take(self) -> None:
        """Copy the partition that needs it most, if any; called between batches."""
        self._note_written()
        if self._job is not None:
            return
        now_s = time.monotonic()
        owned = self._ownership.owned
        replay_s = sum(own.busy_s for own in owned.values())
        due: list[int] = []
        for partition, own in owned.items():
            since = self._taken_s.setdefault(partition, now_s)
            moved = own.next_offset > max(own.snapshot_offset, own.replay_until - 1)
            if moved and (replay_s > self._budget_s or now_s - since > AGE_MAX_S):
                due.append(partition)
        if due:
            self._start(max(due, key=lambda partition: owned[partition].busy_s))

    def keep(self, partition: int, name: str) -> None:
        """Copy a partition that is exactly behind a control record, for a savepoint.

        Waits until the job before it is done: a shard's partitions come one after another. What
        fails is missing from the savepoint, and whoever waits for it is told.
        """
        if not self._await_idle():
            logger.warning("no savepoint %s of partition %d: another takes long", name, partition)
            return
        self._start(partition, savepoint=name)

    def take_now(self, partitions: list[int]) -> None:
        """Write these before they are given up. Every sink must have drained.

        Without a snapshot, on a full disk for one, the next owner replays more.
        """
        self._await_idle()
        self._note_written()
        for partition in partitions:
            own = self._ownership.owned.get(partition)
            if own is not None and own.next_offset > own.snapshot_offset:
                self._take_last(partition)

    def _take_last(self, partition: int) -> None:
        snapshot = self._copy(partition, None)
        if not self._commit.has_all(partition, snapshot.next_offset):
            return
        try:
            self._save(put(self._store, snapshot))
        except Exception:
            logger.exception("no snapshot of partition %d, which is given up", partition)

    def forget(self, partitions: list[int]) -> None:
        """These partitions are another's: what is under way for them is dropped."""
        with self._changed:
            if self._job is not None and self._job.partition in partitions:
                self._job = None
                self._changed.notify_all()
            self._written = [each for each in self._written if each.partition not in partitions]
        for partition in partitions:
            self._taken_s.pop(partition, None)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(10.0)

    def _start(self, partition: int, *, savepoint: str = "") -> None:
        # What the last job wrote must be noted by now: this snapshot supersedes what it leaves out.
        self._note_written()
        snapshot = self._copy(partition, self._buffers)
        self._taken_s[partition] = time.monotonic()
        self._ownership.owned[partition].busy_s = 0.0
        with self._changed:
            self._job, self._savepoint = snapshot, savepoint
            self._changed.notify_all()

    def _copy(self, partition: int, buffers: Buffers | None) -> PartitionSnapshot:
        """A job that was dropped may still read `buffers`: its outcome is void."""
        return export_partition(
            self._engine,
            partition,
            next_offset=self._ownership.owned[partition].next_offset,
            topic_id=self._topic_id,
            buffers=buffers,
        )

    def _note_written(self) -> None:
        """What the thread has written since, back into the directory."""
        if self._written:
            with self._changed:
                written, self._written = self._written, []
            for each in written:
                each.note(self._engine.directory)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._job or self._closing, IDLE_S)
                if self._closing:
                    return
                job, savepoint = self._job, self._savepoint
            if job is None:
                continue
            try:
                self._take(job, savepoint)
            except Exception:
                # The shard goes on without: a later one is tried, and replay only gets longer.
                logger.exception("no snapshot of partition %d", job.partition)
            with self._changed:
                if self._job is job:
                    self._job = None
                self._changed.notify_all()

    def _take(self, job: PartitionSnapshot, savepoint: str) -> None:
        stored = put(self._store, job)
        tidied = self._store.tidied(stored)
        with self._changed:
            if self._job is not job:
                return
            self._written += [
                Stored(job.partition, job.copy, stored.cohorts),
                Moved(stored, tidied),
            ]
        if self._sinks_have(job):
            if savepoint:
                # First: who recovers from this snapshot does not meet the record again.
                self._store.keep(tidied, savepoint)
                logger.info("partition %d is in savepoint %s", job.partition, savepoint)
            self._save(tidied)

    def _sinks_have(self, job: PartitionSnapshot) -> bool:
        deadline_s = time.monotonic() + SINKS_TIMEOUT_S
        while not self._ripe(job, deadline_s - SINKS_TIMEOUT_S + TELL_TIMEOUT_S):
            with self._changed:
                self._changed.wait_for(lambda: self._job is not job or self._closing, 0.02)
                if self._job is not job or self._closing:
                    return False
            if time.monotonic() > deadline_s:
                return False
        return True

    def _ripe(self, job: PartitionSnapshot, tell_until_s: float) -> bool:
        """A hub that is away holds a snapshot up for a while only."""
        if not self._commit.has_all(job.partition, job.next_offset):
            return False
        return self._told() or time.monotonic() > tell_until_s

    def _save(self, snapshot: PartitionSnapshot) -> None:
        self._store.save(snapshot)
        own = self._ownership.owned.get(snapshot.partition)
        if own is not None:
            own.snapshot_offset = max(own.snapshot_offset, snapshot.next_offset)
            own.saved_s = time.monotonic()

    def _await_idle(self) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._job is None or self._closing, 10.0)
