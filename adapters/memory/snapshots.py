"""SnapshotStore in memory."""

from copy import deepcopy

from fleetpulse.snapshot import PartitionSnapshot


class MemorySnapshotStore:
    """Keeps copies, so that a caller's later changes do not reach them."""

    def __init__(self, *, generations: int = 2) -> None:
        self._generations = generations
        self._kept: dict[int, dict[int, PartitionSnapshot]] = {}

    def save(self, snapshot: PartitionSnapshot) -> None:
        """Keep a copy; drops generations beyond the bound."""
        kept = self._kept.setdefault(snapshot.partition, {})
        kept[snapshot.next_offset] = deepcopy(snapshot)
        for offset in sorted(kept, reverse=True)[self._generations :]:
            del kept[offset]

    def load(self, partition: int) -> PartitionSnapshot | None:
        """A copy of the newest generation."""
        kept = self._kept.get(partition)
        return deepcopy(kept[max(kept)]) if kept else None
