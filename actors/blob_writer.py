"""Writes states of devices that are about to become passive, in a thread of its own."""

import logging
import time
from dataclasses import dataclass
from threading import Condition, Thread

import numpy as np

from actors.sink_writer import IDLE_S
from actors.written import Stored
from fleetpulse.columns import Buffers
from fleetpulse.directory import Directory
from fleetpulse.effects import I64
from fleetpulse.persistence import copied_states
from fleetpulse.ports import SnapshotStore
from fleetpulse.snapshot import DeviceStates

REST_S = 1.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    partition: int
    next_offset: int
    copy: int
    states: DeviceStates


class BlobWriter:
    """One group at a time; the thread ends at `close`."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._buffers = Buffers()
        """A job that was dropped may still read them: its outcome is void."""
        self._changed = Condition()
        self._job: _Job | None = None
        self._written: list[Stored] = []
        self._rests_until_s = 0.0
        self._closing = False
        self._thread = Thread(target=self._run, name="blob-writer", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a group is under way, or written and not noted yet, or the store failed."""
        return self._job is not None or bool(self._written) or self.resting

    @property
    def resting(self) -> bool:
        """The store has just failed: copies that it cannot take are not made again at once."""
        return time.monotonic() < self._rests_until_s

    def take(self, directory: Directory, partition: int, next_offset: int, handles: I64) -> None:
        """Copy devices of one partition and cohort; from the loop, when not busy."""
        everything = np.ones(len(handles), np.bool_)
        copy = directory.copying(handles)
        states = copied_states(directory, handles, everything, self._buffers)
        with self._changed:
            self._job = _Job(partition, next_offset, copy, states)
            self._changed.notify_all()

    def written(self) -> list[Stored]:
        """What is new since the last call."""
        if not self._written:
            return []
        with self._changed:
            written, self._written = self._written, []
        return written

    def wait(self, timeout_s: float) -> None:
        """Until the group under way is written."""
        with self._changed:
            self._changed.wait_for(lambda: self._job is None or self._closing, timeout_s)

    def forget(self, partitions: list[int]) -> None:
        """What is under way for these is dropped."""
        with self._changed:
            if self._job is not None and self._job.partition in partitions:
                self._job = None
            self._written = [each for each in self._written if each.partition not in partitions]
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(10.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._job or self._closing, IDLE_S)
                if self._closing:
                    return
                job = self._job
            if job is None:
                continue
            stored: Stored | None = None
            try:
                states = self._store.put(job.partition, job.next_offset, job.states, copy=job.copy)
                stored = Stored(job.partition, job.copy, [states])
            except Exception:
                # They stay in memory; the next attempt begins with a new copy.
                self._rests_until_s = time.monotonic() + REST_S
                logger.exception("states of partition %d are not stored", job.partition)
            with self._changed:
                if self._job is job:
                    self._job = None
                    if stored is not None:
                        self._written.append(stored)
                self._changed.notify_all()
