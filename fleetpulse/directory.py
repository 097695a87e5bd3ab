"""Which row of which cohort a device lives in."""

from itertools import repeat

import numpy as np

from fleetpulse.cohort import Cohort
from fleetpulse.effects import I32, I64
from fleetpulse.profile import Profile

ABSENT = -1


class Directory:
    """Devices by record key. A handle is a small integer that stands for a key's place.

    cohort_of, row_of, partition_of: by handle.
    """

    def __init__(self) -> None:
        self.cohorts: list[Cohort] = []
        self.cohort_of: I32 = np.empty(0, np.int32)
        self.row_of: I64 = np.empty(0, np.int64)
        self.partition_of: I32 = np.empty(0, np.int32)
        self._handles: dict[bytes, int] = {}
        self._free: list[int] = []
        self._cohort_ids: dict[Profile, int] = {}

    def __len__(self) -> int:
        return len(self._handles)

    def handles(self, keys: list[bytes]) -> I64:
        """A handle per key; ABSENT where there is no such device."""
        found = map(self._handles.get, keys, repeat(ABSENT))
        return np.fromiter(found, np.int64, len(keys))

    def find(self, key: bytes) -> tuple[Cohort, int] | None:
        """A device's cohort and row."""
        handle = self._handles.get(key)
        if handle is None:
            return None
        return self.cohorts[self.cohort_of[handle]], int(self.row_of[handle])

    def add(self, key: bytes, partition: int, profile: Profile) -> int:
        """A new device; returns its handle."""
        cohort_id = self.cohort_id(profile)
        if not self._free:
            self._grow()
        handle = self._free.pop()
        self.cohort_of[handle] = cohort_id
        self.row_of[handle] = self.cohorts[cohort_id].add(key, partition)
        self.partition_of[handle] = partition
        self._handles[key] = handle
        return handle

    def remove(self, keys: list[bytes]) -> None:
        """Forget devices."""
        handles = np.fromiter(map(self._handles.pop, keys), np.int64, len(keys))
        cohort_ids = self.cohort_of[handles]
        for cohort_id in np.unique(cohort_ids).tolist():
            self.cohorts[cohort_id].remove(self.row_of[handles[cohort_ids == cohort_id]])
        self.partition_of[handles] = ABSENT
        self._free += handles.tolist()

    def keys_of(self, partition: int) -> list[bytes]:
        """The keys of a partition's devices."""
        return [
            cohort.keys[row]
            for cohort in self.cohorts
            for row in cohort.rows_of(partition).tolist()
        ]

    def cohort_id(self, profile: Profile) -> int:
        """The cohort of a profile, made on first use."""
        known = self._cohort_ids.setdefault(profile, len(self.cohorts))
        if known == len(self.cohorts):
            self.cohorts.append(Cohort(profile))
        return known

    def _grow(self) -> None:
        old = len(self.row_of)
        added = max(64, old)
        self.cohort_of = np.append(self.cohort_of, np.full(added, ABSENT, np.int32))
        self.row_of = np.append(self.row_of, np.full(added, ABSENT, np.int64))
        self.partition_of = np.append(self.partition_of, np.full(added, ABSENT, np.int32))
        self._free += range(old + added - 1, old - 1, -1)
