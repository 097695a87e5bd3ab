"""What the folder store does about crashes and damage."""

from pathlib import Path

import numpy as np
import pytest

from adapters.snapshots.folder import FolderSnapshotStore
from fleetpulse.snapshot import PartitionSnapshot


def snapshot(next_offset: int) -> PartitionSnapshot:
    return PartitionSnapshot(0, next_offset, "topic", 1, {}, {"ring": np.arange(1000.0)})


@pytest.fixture
def store(tmp_path: Path) -> FolderSnapshotStore:
    store = FolderSnapshotStore(tmp_path, generations=2)
    store.save(snapshot(10))
    store.save(snapshot(20))
    return store


@pytest.mark.parametrize("damage", ["truncated", "flipped bit", "empty", "other format"])
def test_a_damaged_generation_is_skipped_with_a_warning(
    store: FolderSnapshotStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    newest = store.ls()[0].path
    data = bytearray(newest.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "flipped bit":
        data[len(data) // 2] ^= 1
    elif damage == "empty":
        data = bytearray()
    else:
        data[:8] = b"PK\x03\x04\0\0\0\0"
    newest.write_bytes(data)
    loaded = store.load(0)
    assert loaded is not None
    assert loaded.next_offset == 10, "recovery did not fall back to the older generation"
    assert newest.name in caplog.text, "nobody was told about the damage"


def test_only_the_bound_of_generations_is_kept(store: FolderSnapshotStore) -> None:
    store.save(snapshot(30))
    assert [each.next_offset for each in store.ls()] == [30, 20]


def test_a_draft_of_a_crashed_writer_is_never_loaded(
    store: FolderSnapshotStore, tmp_path: Path
) -> None:
    draft = tmp_path / "partition-0000" / ".00000000000000000099.snapshot.1.tmp"
    draft.write_bytes(b"half a state")
    loaded = store.load(0)
    assert loaded is not None
    assert loaded.next_offset == 20, "a half-written state was taken for a whole one"
