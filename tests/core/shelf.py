"""An engine beside a store of device states, as a shard has it; nothing runs by itself."""

import numpy as np

from actors.written import Moved, Stored, put
from adapters.memory.files import MemoryFiles
from adapters.snapshots.store import FileSnapshotStore
from fleetpulse.directory import ABSENT
from fleetpulse.effects import Effects
from fleetpulse.engine import Engine, cut_at_controls
from fleetpulse.persistence import (
    copied_states,
    drop_partition,
    export_partition,
    import_partition,
)
from fleetpulse.ports import RecordBatch
from fleetpulse.snapshot import PartitionSnapshot
from tests.core.invariants import check_invariants
from tests.core.logs import PARTITIONS, Model, fake_scores


class Shelf:
    """Shelves that share files and generations take partitions over from each other."""

    def __init__(
        self,
        *,
        files: MemoryFiles | None = None,
        partitions: range = range(PARTITIONS),
        model: Model = fake_scores,
    ) -> None:
        self.files = files or MemoryFiles()
        self.engine = Engine(PARTITIONS)
        self.effects = Effects()
        self.activated = 0
        self._model = model
        self._copies: list[tuple[PartitionSnapshot, PartitionSnapshot, PartitionSnapshot]] = []
        self.store = FileSnapshotStore(self.files, generations=2)
        for partition in partitions:
            self.take_over(partition)

    def feed(self, batch: RecordBatch) -> None:
        for part in cut_at_controls(batch):
            self.awake(self.engine.needed(part))
            windows = self.engine.step(part)
            self.effects.extend(self.engine.conclude([self._model(w.samples) for w in windows]))
        check_invariants(self.engine)

    def awake(self, handles: np.ndarray) -> None:
        directory = self.engine.directory
        self.activated += len(handles)
        for _, cohort, mine in directory.groups(handles):
            directory.activate(cohort, mine, self.store.read(cohort.profile, directory.blob[mine]))

    def write(self, handles: np.ndarray) -> None:
        directory = self.engine.directory
        for partition, _, mine in directory.groups(handles):
            chosen = directory.unstored(mine)
            copy = directory.copying(mine[chosen])
            put = self.store.put(partition, 0, copied_states(directory, mine, chosen), copy=copy)
            directory.stored(mine[put.inline], copy, put.blobs[put.inline])

    def drop(self, handles: np.ndarray) -> None:
        """Write and forget."""
        active = handles[self.engine.directory.row_of[handles] != ABSENT]
        self.write(active)
        assert self.engine.directory.passivate(active) == len(active)
        check_invariants(self.engine)

    def everything(self) -> np.ndarray:
        return np.flatnonzero(self.engine.directory.partition_of != ABSENT)

    # snapshots

    def begin_copy(self, partition: int, generation: int) -> None:
        """Store a snapshot as a thread does: the engine goes on and hears of it later."""
        copy = export_partition(self.engine, partition, next_offset=generation, topic_id="t")
        stored = put(self.store, copy)
        self._copies.append((copy, stored, self.store.tidied(stored)))

    def end_copies(self) -> None:
        for copy, stored, tidied in self._copies:
            Stored(copy.partition, copy.copy, stored.cohorts).note(self.engine.directory)
            Moved(stored, tidied).note(self.engine.directory)
            self.store.save(tidied)
        self._copies = []

    def take_over(self, partition: int) -> None:
        import_partition(self.engine, partition, self.store.load(partition))

    def give_up(self, partition: int, generation: int) -> None:
        self._copies = [each for each in self._copies if each[0].partition != partition]
        self.begin_copy(partition, generation)
        self.end_copies()
        drop_partition(self.engine, partition)

    def restart(self, generation: int = 1) -> None:
        """Through snapshots, in a new engine."""
        owned = list(self.engine.partitions)
        for partition in owned:
            self.give_up(partition, generation)
        self.engine = Engine(PARTITIONS)
        self.store = FileSnapshotStore(self.files, generations=2)
        for partition in owned:
            self.take_over(partition)
        check_invariants(self.engine)
