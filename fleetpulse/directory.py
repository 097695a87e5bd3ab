"""Which devices there are, and where each one's state is: in a row of a cohort, or stored.

A device without a row is *passive*: it is known, and its state is a blob outside. A blob is valid
as long as nothing has happened to its device; only then may the device become passive.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fleetpulse.cohort import Cohort
from fleetpulse.columns import FOREVER, NEVER, Arrays, Column, Columns
from fleetpulse.effects import I32, I64
from fleetpulse.kernel import native
from fleetpulse.profile import Profile
from fleetpulse.snapshot import BLOB, NOWHERE, Blobs, no_blobs

ABSENT = -1
KNOWN = ("heard_us", "owes", "accepted_us", "deadline_us", "offline")
"""Columns that belong to a device whether it is passive or not, and are part of a snapshot."""
_HANDLES_AT_FIRST = 64


class Directory(Columns):
    """Devices by record key. A handle is a small integer that stands for a device.

    By handle: cohort_of, partition_of, keys; row_of: ABSENT for a passive device; heard_us: log
    time of the newest record; owes: an alert or a session is open in the stored state of a
    passive device; paused: records are passed over; accepted_us: log time of the newest record
    that was not refused; deadline_us: attended time at which it is offline unless it is heard;
    offline; blob: where the state is stored; copied: the copy that the blob is made from, 0 after
    a change.
    """

    cohort_of: I32
    row_of: I64
    partition_of: I32
    keys: NDArray[np.object_]
    heard_us: I64
    owes: NDArray[np.bool_]
    paused: NDArray[np.bool_]
    accepted_us: I64
    deadline_us: I64
    offline: NDArray[np.bool_]
    blob: Blobs
    copied: I64

    def __init__(self) -> None:
        super().__init__(
            {
                "cohort_of": Column(np.int32, (), ABSENT),
                "row_of": Column(np.int64, (), ABSENT),
                "partition_of": Column(np.int32, (), ABSENT),
                "keys": Column(np.object_, (), None),
                "heard_us": Column(np.int64, (), NEVER),
                "owes": Column(np.bool_),
                "paused": Column(np.bool_),
                "accepted_us": Column(np.int64, (), NEVER),
                "deadline_us": Column(np.int64, (), FOREVER),
                "offline": Column(np.bool_),
                "blob": Column(BLOB, (), no_blobs(1)[0]),
                "copied": Column(np.int64),
            }
        )
        self.cohorts: list[Cohort] = []
        self.passive_total = 0
        self.copies = 0
        self._handles: dict[bytes, int] = {}
        self._free: list[int] = []
        self._cohort_ids: dict[Profile, int] = {}

    def __len__(self) -> int:
        return len(self._handles)

    @property
    def row_bytes_used(self) -> int:
        """Memory of the active devices' states."""
        return sum(cohort.active * cohort.row_bytes for cohort in self.cohorts)

    # finding

    def handles(self, keys: list[bytes]) -> I64:
        """A handle per key; ABSENT where there is no such device."""
        found = np.full(len(keys), ABSENT, np.int64)
        native.look_up(self._handles, keys, found)
        return found

    def handles_of(self, partition: int) -> I64:
        """A partition's devices."""
        return np.flatnonzero(self.partition_of == partition)

    def find(self, key: bytes) -> tuple[Cohort, int] | None:
        """An active device's cohort and row."""
        handle = self._handles.get(key)
        if handle is None or self.row_of[handle] == ABSENT:
            return None
        return self.cohorts[self.cohort_of[handle]], int(self.row_of[handle])

    def keys_of(self, partition: int) -> list[bytes]:
        """The keys of a partition's devices, passive ones too."""
        keys: list[bytes] = self.keys[self.handles_of(partition)].tolist()
        return keys

    def groups(self, handles: I64) -> Iterator[tuple[int, Cohort, I64]]:
        """Handles by partition and cohort."""
        where = self.partition_of[handles].astype(np.int64) << 32 | self.cohort_of[handles]
        for place in np.unique(where).tolist():
            yield place >> 32, self.cohorts[place & 0xFFFFFFFF], handles[where == place]

    def cohort_id(self, profile: Profile) -> int:
        """The cohort of a profile, made on first use."""
        known = self._cohort_ids.setdefault(profile, len(self.cohorts))
        if known == len(self.cohorts):
            self.cohorts.append(Cohort(profile))
        return known

    # coming and going

    def add(self, key: bytes, partition: int, profile: Profile) -> int:
        """A new, active device; returns its handle."""
        cohort_id = self.cohort_id(profile)
        self._reserve(1)
        handle = self._free.pop()
        self.cohort_of[handle] = cohort_id
        self.row_of[handle] = self.cohorts[cohort_id].add(key, partition)
        self.partition_of[handle] = partition
        self.keys[handle] = key
        self._handles[key] = handle
        return handle

    def add_passive(
        self, keys: NDArray[np.object_], partition: int, profile: Profile, known: Arrays
    ) -> I64:
        """Devices whose states are elsewhere; returns their handles."""
        self._reserve(len(keys))
        kept = len(self._free) - len(keys)
        handles = np.array(self._free[kept:], np.int64)
        del self._free[kept:]
        self.cohort_of[handles] = self.cohort_id(profile)
        self.partition_of[handles] = partition
        self.keys[handles] = keys
        for name in KNOWN:
            if name in known:
                getattr(self, name)[handles] = known[name]
        self._handles.update(zip(keys.tolist(), handles.tolist(), strict=True))
        self.passive_total += len(keys)
        return handles

    def remove(self, keys: list[bytes]) -> None:
        """Forget devices."""
        handles = np.fromiter(map(self._handles.pop, keys), np.int64, len(keys))
        active = handles[self.row_of[handles] != ABSENT]
        self._drop_rows(active)
        self.passive_total -= len(handles) - len(active)
        self.reset(handles)
        self._free += handles.tolist()

    # active and passive

    def touch(self, handles: I64, log_time_us: I64) -> None:
        """Something happened to these devices: what is stored of them is not their state."""
        self.copied[handles] = 0
        self.heard_us[handles] = log_time_us

    def activate(self, cohort: Cohort, handles: I64, states: Arrays) -> None:
        """Give passive devices of one cohort and partition rows with their states."""
        rows = cohort.add_all(self.keys[handles].tolist(), int(self.partition_of[handles[0]]))
        cohort.load(rows, states)
        self.row_of[handles] = rows
        self.owes[handles] = False
        self.passive_total -= len(handles)

    def passivate(self, handles: I64) -> int:
        """Forget the rows of those whose blob is their state; returns how many."""
        stored = (self.copied[handles] != 0) & (self.blob["segment"][handles] != NOWHERE)
        handles = handles[stored & (self.row_of[handles] != ABSENT)]
        for _, cohort, mine in self.groups(handles):
            self.owes[mine] = cohort.owes(self.row_of[mine])
        self._drop_rows(handles)
        self.row_of[handles] = ABSENT
        self.passive_total += len(handles)
        return len(handles)

    # what is stored

    def unstored(self, handles: I64) -> NDArray[np.bool_]:
        """Whose state is in no blob."""
        changed = (self.copied[handles] == 0) & (self.row_of[handles] != ABSENT)
        return np.asarray(changed | (self.blob["segment"][handles] == NOWHERE))

    def copying(self, handles: I64) -> int:
        """The states of these devices are being copied to be stored; returns the copy's number."""
        self.copies += 1
        self.copied[handles] = self.copies
        self.blob["segment"][handles] = NOWHERE
        return self.copies

    def stored(self, handles: I64, copy: int, blobs: Blobs) -> None:
        """A copy is stored; it is the state of those to whom nothing has happened since."""
        same = self.copied[handles] == copy
        self.blob[handles[same]] = blobs[same]

    def moved(self, handles: I64, old: Blobs, new: Blobs) -> None:
        """Blobs were stored anew elsewhere; handles may stand for other devices by now."""
        same = self.blob[handles] == old
        self.blob[handles[same]] = new[same]

    def _drop_rows(self, handles: I64) -> None:
        cohort_ids = self.cohort_of[handles]
        for cohort_id in np.unique(cohort_ids).tolist():
            self.cohorts[cohort_id].remove(self.row_of[handles[cohort_ids == cohort_id]])

    def _reserve(self, count: int) -> None:
        if len(self._free) >= count:
            return
        old = self.capacity
        self.grow(max(_HANDLES_AT_FIRST, 2 * old, old + count))
        self._free = [*range(self.capacity - 1, old - 1, -1), *self._free]
