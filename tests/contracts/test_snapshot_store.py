"""What every SnapshotStore must do."""

from pathlib import Path

import numpy as np
import pytest

from adapters.memory.snapshots import MemorySnapshotStore
from adapters.snapshots.folder import FolderSnapshotStore
from fleetpulse.ports import SnapshotStore
from fleetpulse.snapshot import PartitionSnapshot


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    if request.param == "memory":
        return MemorySnapshotStore(generations=2)
    return FolderSnapshotStore(tmp_path, generations=2)


def snapshot(next_offset: int, *, partition: int = 3) -> PartitionSnapshot:
    random = np.random.default_rng(next_offset)
    return PartitionSnapshot(
        partition=partition,
        next_offset=next_offset,
        topic_id="a8MeP0nrSxKpfVF6xENP6w",
        result_version=1,
        meta={"devices": ["default/pump-1"], "log_time_us": 1_700_000_000_000_000},
        arrays={
            "pump@1/ring": random.normal(size=(5, 7, 3)).astype(np.float32),
            "pump@1/head": random.integers(0, 9, size=5),
            "open": np.array([True, False]),
            "every-second": np.arange(10.0)[::2],
            "empty": np.empty((0, 4)),
            "scalar": np.array(2.5),
        },
    )


def same(left: PartitionSnapshot | None, right: PartitionSnapshot) -> bool:
    return (
        left is not None
        and (left.partition, left.next_offset, left.topic_id, left.result_version, left.meta)
        == (right.partition, right.next_offset, right.topic_id, right.result_version, right.meta)
        and left.arrays.keys() == right.arrays.keys()
        and all(
            left.arrays[name].dtype == array.dtype
            and left.arrays[name].shape == array.shape
            and np.array_equal(left.arrays[name], array)
            for name, array in right.arrays.items()
        )
    )


def test_a_partition_without_snapshot_has_none(store: SnapshotStore) -> None:
    store.save(snapshot(10, partition=1))
    assert store.load(2) is None, "a partition got another one's state"


def test_state_comes_back_bit_for_bit(store: SnapshotStore) -> None:
    store.save(snapshot(10))
    assert same(store.load(3), snapshot(10)), "recovery would start from another state"


def test_the_newest_generation_is_loaded(store: SnapshotStore) -> None:
    for next_offset in (10, 20, 30):
        store.save(snapshot(next_offset))
    assert same(store.load(3), snapshot(30)), "recovery would replay more than needed"


def test_an_older_state_written_later_does_not_shadow_a_newer_one(store: SnapshotStore) -> None:
    for next_offset in (20, 30, 10):
        store.save(snapshot(next_offset))
    assert same(store.load(3), snapshot(30)), "a zombie's snapshot replaced its successor's"


def test_a_loaded_state_can_be_changed_without_changing_the_stored_one(
    store: SnapshotStore,
) -> None:
    store.save(snapshot(10))
    loaded = store.load(3)
    assert loaded is not None
    loaded.arrays["pump@1/head"][:] = -1
    assert same(store.load(3), snapshot(10)), "the stored state changed"
