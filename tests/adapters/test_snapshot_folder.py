"""What the store does about crashes and damage, and about files of the format before."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from adapters.snapshots.files import LocalFiles
from adapters.snapshots.store import FileSnapshotStore
from fleetpulse.engine import Engine
from fleetpulse.persistence import export_partition, import_partition
from tests.adapters.format1_writer import write_format1
from tests.contracts.test_snapshot_store import PARTITION, saved, snapshot, states
from tests.core.logs import PARTITIONS, difference, feed, fresh_engine
from tests.core.test_cuts import disorderly_log

HOME = f"partition-{PARTITION:04d}"


@pytest.fixture
def store(tmp_path: Path) -> FileSnapshotStore:
    store = FileSnapshotStore(LocalFiles(tmp_path), generations=2)
    saved(store, 10)
    saved(store, 20)
    return store


def damaged(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "flipped bit":
        data[len(data) * 3 // 4] ^= 1
    elif damage == "empty":
        data = bytearray()
    elif damage == "other format":
        data[:8] = b"PK\x03\x04\0\0\0\0"
    path.write_bytes(data)
    if damage == "gone":
        path.unlink()


@pytest.mark.parametrize("damage", ["truncated", "flipped bit", "empty", "other format"])
def test_a_damaged_generation_is_skipped_with_a_warning(
    store: FileSnapshotStore, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    newest = tmp_path / store.ls()[0].file.name
    damaged(newest, damage)
    loaded = store.load(PARTITION)
    assert loaded is not None
    assert loaded.next_offset == 10, "recovery did not fall back to the older generation"
    assert newest.name in caplog.text, "nobody was told about the damage"


@pytest.mark.parametrize("damage", ["truncated", "flipped bit", "empty", "other format", "gone"])
def test_damage_to_an_active_devices_state_is_damage_to_its_generation(
    store: FileSnapshotStore, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    newest = max((tmp_path / HOME / "segments").iterdir())
    damaged(newest, damage)
    again = FileSnapshotStore(LocalFiles(tmp_path), generations=2)
    loaded = again.load(PARTITION)
    assert loaded is not None
    assert loaded.next_offset == 10, "recovery did not fall back to the older generation"
    assert "skipped" in caplog.text, "nobody was told about the damage"


def test_only_the_bound_of_generations_is_kept(store: FileSnapshotStore) -> None:
    saved(store, 30)
    assert [each.next_offset for each in store.ls()] == [30, 20]


def test_a_draft_of_a_crashed_writer_is_never_loaded(
    store: FileSnapshotStore, tmp_path: Path
) -> None:
    draft = tmp_path / HOME / ".00000000000000000099.snapshot.1.tmp"
    draft.write_bytes(b"half a state")
    loaded = store.load(PARTITION)
    assert loaded is not None
    assert loaded.next_offset == 20, "a half-written state was taken for a whole one"


def test_what_a_crashed_writer_left_goes_after_a_while(
    store: FileSnapshotStore, tmp_path: Path
) -> None:
    store.put(PARTITION, 25, states(25), copy=99)
    (left,) = (tmp_path / HOME / "segments").glob("*25-*")
    saved(store, 30)
    assert left.exists(), "a segment went that its writer may be about to name"
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    saved(store, 40)
    assert not left.exists(), "segments that nobody names pile up"


def test_snapshots_of_the_format_before_are_read(tmp_path: Path) -> None:
    log = disorderly_log(3)
    cut = len(log.keys) // 2
    whole = feed(fresh_engine(), log.batch())
    first = fresh_engine()
    effects = feed(first, log.batch(0, cut))
    for partition in range(PARTITIONS):
        exported = export_partition(first, partition, next_offset=cut, topic_id="t")
        write_format1(tmp_path, exported)
    second = Engine(PARTITIONS)
    store = FileSnapshotStore(LocalFiles(tmp_path), generations=2)
    for partition in range(PARTITIONS):
        loaded = store.load(partition)
        assert loaded is not None
        assert loaded.next_offset == cut
        import_partition(second, partition, loaded)
    effects.extend(feed(second, log.batch(cut)))
    # The release that wrote format 1 knew neither silence nor sessions: they begin with this one.
    for each in (effects, whole):
        each.presences, each.sessions = [], []
    assert not difference(effects, whole), "an upgrade of the format changed a result"


def test_a_generation_of_the_format_before_makes_room_for_a_new_one(tmp_path: Path) -> None:
    write_format1(tmp_path, snapshot(5, states(5)))
    store = FileSnapshotStore(LocalFiles(tmp_path), generations=2)
    loaded = store.load(PARTITION)
    assert loaded is not None
    assert np.array_equal(loaded.cohorts[0].rows["rings.head"], states(5).rows["rings.head"])
    for offset in (10, 20):
        saved(store, offset)
    assert [each.next_offset for each in store.ls()] == [20, 10]
