"""What a background thread wrote, to be noted in the directory between two batches."""

from dataclasses import dataclass, replace
from typing import Protocol

from fleetpulse.directory import Directory
from fleetpulse.ports import SnapshotStore
from fleetpulse.snapshot import DeviceStates, PartitionSnapshot


class Written(Protocol):
    """News of one partition."""

    @property
    def partition(self) -> int:
        """Whose; when it is given up, its news are void."""

    def note(self, directory: Directory) -> None:
        """From the loop."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Copied states have their places."""

    partition: int
    copy: int
    cohorts: list[DeviceStates]

    def note(self, directory: Directory) -> None:
        """Places of states that have not changed since the copy."""
        for states in self.cohorts:
            at = states.inline
            directory.stored(states.handles[at], self.copy, states.blobs[at])


@dataclass(frozen=True, slots=True)
class Moved:
    """Blobs have other places."""

    before: PartitionSnapshot
    after: PartitionSnapshot

    @property
    def partition(self) -> int:
        """Whose."""
        return self.before.partition

    def note(self, directory: Directory) -> None:
        """New places of what is still at the old ones."""
        for old, new in zip(self.before.cohorts, self.after.cohorts, strict=True):
            if old.blobs is not new.blobs:
                directory.moved(old.handles, old.blobs, new.blobs)


def put(store: SnapshotStore, snapshot: PartitionSnapshot) -> PartitionSnapshot:
    """Store the states at hand."""
    return replace(
        snapshot,
        cohorts=[
            store.put(snapshot.partition, snapshot.next_offset, states, copy=snapshot.copy)
            for states in snapshot.cohorts
        ],
    )
