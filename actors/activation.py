"""Which devices of a shard are in memory: fetched before their records, dropped when long silent.

A device may be dropped when its stored state is its state (`Directory.passivate`). What has
changed since it was stored is written first, in a thread, a group of one partition at a time; so
no step waits longer than one group's copy. Results do not depend on any of it.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

import numpy as np

from actors.blob_writer import BlobWriter
from actors.partitions import Ownership
from fleetpulse.cohort import Cohort
from fleetpulse.columns import NEVER, Arrays
from fleetpulse.directory import ABSENT
from fleetpulse.effects import I64
from fleetpulse.engine import Engine
from fleetpulse.errors import DamagedState, PartitionStopped
from fleetpulse.ports import SnapshotStore

logger = logging.getLogger(__name__)

GROUP_BYTES = 4 << 20
"""States that are copied or dropped between two batches: some milliseconds."""
LOOK_S = 1.0
"""How often the longest silent devices are looked for."""
KEEP_SHARE = 0.9
"""Over the budget, devices are dropped down to this share of it."""
PRESS_SHARE = 1.25
"""Beyond this share of the budget the loop waits for the writer."""
PRESS_S = 0.5


@dataclass(frozen=True, slots=True)
class Fetched:
    """States of passive devices of one cohort and partition."""

    cohort: Cohort
    handles: I64
    states: Arrays


class Activation:
    """Called from the shard's loop only."""

    def __init__(
        self,
        store: SnapshotStore,
        engine: Engine,
        ownership: Ownership,
        *,
        memory_bytes: int,
        idle_s: float,
    ) -> None:
        self._store = store
        self._engine = engine
        self._ownership = ownership
        self._memory_bytes = memory_bytes
        self._idle_us = round(idle_s * 1e6)
        self._writer = BlobWriter(store)
        self._silent: list[tuple[I64, I64]] = []
        """Groups to drop, and when their devices were heard."""
        self._tried = False
        """Whether the first group was given to the writer: what it fails to write is left."""
        self._looked_s = 0.0
        self.activated_total = 0
        self.passivated_total = 0

    def fetch(self, handles: I64) -> tuple[list[Fetched], list[PartitionStopped]]:
        """The states of passive devices, and the partitions in which one cannot be read."""
        directory = self._engine.directory
        found: list[Fetched] = []
        stopped: dict[int, PartitionStopped] = {}
        for partition, cohort, mine in directory.groups(handles):
            try:
                states = self._store.read(cohort.profile, directory.blob[mine])
            except DamagedState as damage:
                stopped[partition] = PartitionStopped(
                    partition,
                    f"the stored state of a device cannot be read: {damage}",
                    remedy="see fleetpulse snapshot inspect, and restore an older generation",
                )
                continue
            found.append(Fetched(cohort, mine, states))
        self.activated_total += sum(len(each.handles) for each in found)
        return found, list(stopped.values())

    def keep_within(self, reading: Lock) -> None:
        """Between two batches: drop a group if one is due; far over the budget, drop and wait
        until it is kept, because devices may come faster than they are written. A store that
        fails is not waited for: memory grows until it works again.
        """
        until_s = time.monotonic() + PRESS_S
        while True:
            with reading:
                self._tend()
            pressed = self._engine.directory.row_bytes_used > self._memory_bytes * PRESS_SHARE
            if not pressed or self._writer.resting or time.monotonic() > until_s:
                return
            self._writer.wait(PRESS_S)

    def _tend(self) -> None:
        """At most one group is dropped, and one is given to the writer."""
        directory = self._engine.directory
        for each in self._writer.written():
            each.note(directory)
        over = self._engine.directory.row_bytes_used - self._memory_bytes
        now_s = time.monotonic()
        due = over > 0 or now_s - self._looked_s > LOOK_S
        if due and not self._silent and not self._writer.busy:
            self._looked_s = now_s
            self._silent = list(self._groups(self._longest_silent(over)))
        if self._silent and self._dropped(*self._silent[0]):
            self._silent.pop(0)

    def forget(self, partitions: list[int]) -> None:
        """These partitions are another's."""
        self._writer.forget(partitions)
        self._silent, self._tried = [], False

    def close(self) -> None:
        """End the thread."""
        self._writer.close()

    def _dropped(self, handles: I64, heard_us: I64) -> bool:
        """Drop what is stored of a group, and have the rest written; True when it is done with."""
        directory = self._engine.directory
        handles = handles[directory.heard_us[handles] == heard_us]
        self.passivated_total += directory.passivate(handles)
        left = handles[directory.row_of[handles] != ABSENT]
        if self._writer.busy:
            return False
        if not len(left) or self._tried:
            self._tried = False
            return True
        partition, _, mine = next(directory.groups(left))
        offset = self._ownership.owned[partition].next_offset
        self._writer.take(directory, partition, offset, mine)
        self._tried = True
        return False

    def _longest_silent(self, over_bytes: int) -> I64:
        """Active devices to drop, longest silent first: all idle ones, and more over the budget."""
        directory = self._engine.directory
        active = np.flatnonzero(directory.row_of != ABSENT)
        until_us = np.full(self._engine.partitions_total, NEVER)
        for partition, state in self._engine.partitions.items():
            until_us[partition] = state.log_time_us - self._idle_us
        idle = directory.heard_us[active] < until_us[directory.partition_of[active]]
        if over_bytes <= 0:
            active = active[idle]
        order = np.argsort(directory.heard_us[active], kind="stable")
        active = active[order]
        if over_bytes <= 0:
            return active
        goal = over_bytes + self._memory_bytes * (1 - KEEP_SHARE)
        sizes = np.array([cohort.row_bytes for cohort in directory.cohorts], np.int64)
        size = sizes[directory.cohort_of[active]]
        chosen: I64 = active[idle[order] | (np.cumsum(size) - size < goal)]
        return chosen

    def _groups(self, handles: I64) -> Iterator[tuple[I64, I64]]:
        """By partition and cohort, so that a group is one segment, and small enough."""
        directory = self._engine.directory
        for _, cohort, mine in directory.groups(handles):
            size = max(1, GROUP_BYTES // cohort.row_bytes)
            for begin in range(0, len(mine), size):
                group = mine[begin : begin + size]
                yield group, directory.heard_us[group]
