"""What every SnapshotStore must do, wherever its files are."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from adapters.memory.files import MemoryFiles
from adapters.snapshots.files import Files, LocalFiles
from adapters.snapshots.s3 import S3Files
from adapters.snapshots.store import FileSnapshotStore
from fleetpulse.columns import Arrays
from fleetpulse.engine import Engine
from fleetpulse.errors import ConfigError, DamagedState, RetryLater
from fleetpulse.persistence import import_partition
from fleetpulse.ports import SnapshotStore
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.snapshot import DeviceStates, PartitionSnapshot, no_blobs
from tests.core.invariants import check_invariants

PARTITION = 3
PROFILE = Profile(
    name="pump", channels=("a", "b"), rate_hz=50, lateness_ms=200,
    window=WindowSpec(size=16, hop=8), alert=AlertRule(threshold=1),
)  # fmt: skip


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "key")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        bucket = fs.S3FileSystem(
            endpoint_override=f"http://{host}:{port}", allow_bucket_creation=True
        )
        bucket.create_dir("fleet")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["memory", "folder", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "memory":
        return MemoryFiles()
    if request.param == "folder":
        return LocalFiles(tmp_path)
    endpoint = request.getfixturevalue("s3_endpoint")
    return S3Files(f"s3://fleet/{tmp_path.name}", endpoint=endpoint)


@pytest.fixture
def store(files: Files) -> SnapshotStore:
    return FileSnapshotStore(files, generations=2)


def engine_with(devices: int) -> Engine:
    """Devices whose columns hold noise."""
    engine = Engine(8)
    import_partition(engine, PARTITION, None)
    for number in range(devices):
        engine.directory.add(f"default/pump-{number}".encode(), PARTITION, PROFILE)
    return engine


def states(seed: int, *, devices: int = 5) -> DeviceStates:
    """Active devices with the same keys and other numbers for each seed."""
    random = np.random.default_rng(seed)
    cohort = engine_with(devices).directory.cohorts[0]
    rows = cohort.export(np.arange(devices))
    ring = random.normal(size=rows["rings.ring"].shape).astype(np.float32)
    head = random.integers(1000, 2000, devices)
    rows |= {"rings.ring": ring, "rings.head": head, "rings.settled": head - 1}
    return DeviceStates(
        profile=PROFILE,
        keys=np.array([f"default/pump-{n}".encode() for n in range(devices)], object),
        active=np.ones(devices, np.bool_),
        known={"heard_us": random.integers(0, 9, devices), "owes": np.zeros(devices, np.bool_)},
        blobs=no_blobs(devices),
        inline=np.arange(devices),
        rows=rows,
        handles=np.arange(devices),
    )


def snapshot(
    next_offset: int, *cohorts: DeviceStates, partition: int = PARTITION
) -> PartitionSnapshot:
    return PartitionSnapshot(
        partition=partition,
        next_offset=next_offset,
        topic_id="a8MeP0nrSxKpfVF6xENP6w",
        result_version=1,
        meta={"control": {"rules": []}, "log_time_us": 1_700_000_000_000_000},
        cohorts=list(cohorts),
    )


def saved(store: SnapshotStore, next_offset: int, *, partition: int = PARTITION) -> DeviceStates:
    put = store.put(partition, next_offset, states(next_offset), copy=next_offset)
    store.save(snapshot(next_offset, put, partition=partition))
    return put


def window_of(rows: Arrays, device: int) -> np.ndarray:
    """The newest values of a device: what nothing will read again is not kept."""
    ring, head = rows["rings.ring"][device], int(rows["rings.head"][device])
    window: np.ndarray = ring[np.arange(head - PROFILE.window.size, head) % len(ring)]
    return window


def same(loaded: PartitionSnapshot | None, next_offset: int) -> bool:
    expected = states(next_offset)
    if loaded is None or loaded.next_offset != next_offset:
        return False
    (found,) = loaded.cohorts
    return (
        loaded.meta == snapshot(next_offset).meta
        and loaded.topic_id == "a8MeP0nrSxKpfVF6xENP6w"
        and found.profile == PROFILE
        and found.keys.tolist() == expected.keys.tolist()
        and found.known["heard_us"].tolist() == expected.known["heard_us"].tolist()
        and found.rows.keys() == expected.rows.keys()
        and all(
            found.rows[name].tobytes() == values.tobytes()
            for name, values in expected.rows.items()
            if name != "rings.ring"
        )
        and all(
            np.array_equal(window_of(found.rows, n), window_of(expected.rows, n))
            for n in range(len(expected.keys))
        )
    )


def test_a_partition_without_snapshot_has_none(store: SnapshotStore) -> None:
    saved(store, 10, partition=1)
    assert store.load(2) is None, "a partition got another one's state"


def test_state_comes_back_bit_for_bit(store: SnapshotStore) -> None:
    saved(store, 10)
    assert same(store.load(PARTITION), 10), "recovery would start from another state"


def test_a_loaded_partition_is_a_whole_one(files: Files) -> None:
    saved(FileSnapshotStore(files, generations=2), 10)
    engine = Engine(8)
    loaded = FileSnapshotStore(files, generations=2).load(PARTITION)
    assert loaded is not None
    import_partition(engine, PARTITION, replace(loaded, meta={**loaded.meta, "control": EMPTY}))
    assert len(engine.directory) == 5
    check_invariants(replace_rings(engine))


EMPTY: dict[str, list[str]] = {"profiles": [], "rules": [], "seen": []}


def replace_rings(engine: Engine) -> Engine:
    """The noise of the test is no state that an engine would reach."""
    cohort = engine.directory.cohorts[0]
    cohort.rings.reset(slice(0, len(cohort.keys)))
    return engine


def test_the_newest_generation_is_loaded(store: SnapshotStore) -> None:
    for next_offset in (10, 20, 30):
        saved(store, next_offset)
    assert same(store.load(PARTITION), 30), "recovery would replay more than needed"


def test_an_older_state_written_later_does_not_shadow_a_newer_one(store: SnapshotStore) -> None:
    for next_offset in (20, 30, 10):
        saved(store, next_offset)
    assert same(store.load(PARTITION), 30), "a zombie's snapshot replaced its successor's"


def test_a_state_that_did_not_change_is_not_written_again(
    store: SnapshotStore, files: Files
) -> None:
    put = saved(store, 10)
    before = files.ls(f"partition-{PARTITION:04d}/segments")
    store.save(snapshot(20, put))
    assert files.ls(f"partition-{PARTITION:04d}/segments") == before
    loaded = store.load(PARTITION)
    assert loaded is not None
    assert loaded.next_offset == 20
    assert window_of(loaded.cohorts[0].rows, 2).any()


def test_passive_devices_are_known_and_not_at_hand(store: SnapshotStore) -> None:
    put = store.put(PARTITION, 10, states(10), copy=1)
    passive = np.array([False, True, True, False, True])
    store.save(snapshot(10, replace(put, active=passive)))
    loaded = store.load(PARTITION)
    assert loaded is not None
    (found,) = loaded.cohorts
    assert found.active.tolist() == passive.tolist()
    assert found.inline.tolist() == [1, 2, 4], "the active ones, and only they, are at hand"
    rows = store.read(PROFILE, found.blobs[[3, 0]])
    expected = states(10)
    assert np.array_equal(window_of(rows, 0), window_of(expected.rows, 3))
    assert np.array_equal(window_of(rows, 1), window_of(expected.rows, 0))


def test_states_of_several_segments_come_back_in_order(store: SnapshotStore) -> None:
    first, second = (store.put(PARTITION, at, states(at), copy=at) for at in (10, 20))
    mixed = np.concatenate([first.blobs, second.blobs])[[7, 0, 5, 4, 2]]
    rows = store.read(PROFILE, mixed)
    wanted = [(20, 2), (10, 0), (20, 0), (10, 4), (10, 2)]
    for at, (seed, device) in enumerate(wanted):
        assert np.array_equal(window_of(rows, at), window_of(states(seed).rows, device))


def test_segments_go_with_the_last_generation_that_names_them(
    store: SnapshotStore, files: Files
) -> None:
    for next_offset in (10, 20, 30, 40):
        saved(store, next_offset)
    names = [f.name for f in files.ls(f"partition-{PARTITION:04d}/segments")]
    assert [int(name.split("/")[2].split("-")[0]) for name in names] == [30, 40]


def test_what_a_later_snapshot_does_not_name_was_superseded(
    store: SnapshotStore, files: Files
) -> None:
    folder = f"partition-{PARTITION:04d}/segments"
    store.put(PARTITION, 5, states(5), copy=1)
    store.put(PARTITION, 6, states(6), copy=3)
    put = store.put(PARTITION, 10, states(10), copy=2)
    store.save(replace(snapshot(10, put), copy=2))
    left = [int(f.name.split("/")[2].split("-")[0]) for f in files.ls(folder)]
    assert left == [6, 10], "copied later than the snapshot: it may be valid"
    store.save(replace(snapshot(20, put), copy=4))
    left = [int(f.name.split("/")[2].split("-")[0]) for f in files.ls(folder)]
    assert left == [10]


def test_mostly_dead_segments_are_left(store: SnapshotStore, files: Files) -> None:
    old, new = (store.put(PARTITION, at, states(at), copy=at) for at in (10, 20))
    blobs = new.blobs.copy()
    blobs[1] = old.blobs[1]
    kept = replace(new, blobs=blobs)
    tidied = store.tidied(snapshot(20, kept))
    assert tidied.cohorts[0].blobs[0] == kept.blobs[0], "a live segment was copied"
    assert tidied.cohorts[0].blobs[1] != kept.blobs[1]
    store.save(tidied)
    loaded = FileSnapshotStore(files, generations=2).load(PARTITION)
    assert loaded is not None
    rows = loaded.cohorts[0].rows
    assert np.array_equal(window_of(rows, 1), window_of(states(10).rows, 1))
    assert np.array_equal(window_of(rows, 0), window_of(states(20).rows, 0))


def test_what_was_moved_stays_until_the_snapshot_after(store: SnapshotStore, files: Files) -> None:
    old = store.put(PARTITION, 10, states(10), copy=1)
    new = store.put(PARTITION, 20, states(20), copy=2)
    blobs = new.blobs.copy()
    blobs[1] = old.blobs[1]
    kept = replace(snapshot(20, replace(new, blobs=blobs)), copy=2)
    store.save(store.tidied(kept))
    store.read(PROFILE, old.blobs)  # until the shard's loop has noted the new places
    store.save(replace(store.tidied(kept), next_offset=30, copy=3))
    with pytest.raises(DamagedState):
        store.read(PROFILE, old.blobs)


def test_a_state_that_is_gone_is_damage(store: SnapshotStore, files: Files) -> None:
    put = saved(store, 10)
    for file in files.ls(f"partition-{PARTITION:04d}/segments"):
        files.remove(file.name)
    with pytest.raises(DamagedState):
        store.read(PROFILE, put.blobs)


def test_files_are_whole_named_and_removable(files: Files) -> None:
    files.write("a/one", [b"12", memoryview(b"345")])
    files.write("a/b/two", [b"6789"])
    assert [(f.name, f.size_bytes) for f in files.ls("a")] == [("a/b/two", 4), ("a/one", 5)]
    assert files.read("a/one") == [bytearray(b"12345")]
    assert files.read("a/one", [(3, 2), (0, 1)]) == [bytearray(b"45"), bytearray(b"1")]
    with pytest.raises(DamagedState):
        files.read("a/one", [(4, 2)])
    files.remove("a/one")
    files.remove("a/one")
    assert [f.name for f in files.ls("a")] == ["a/b/two"]
    with pytest.raises(DamagedState):
        files.read("a/one")
    assert files.ls("nothing") == []


def test_a_bucket_that_is_away_is_not_an_empty_one() -> None:
    with pytest.raises(RetryLater):
        S3Files("s3://fleet/x", endpoint="http://127.0.0.1:9").ls("")


def test_what_is_no_bucket_is_refused() -> None:
    with pytest.raises(ConfigError, match="s3://bucket/prefix"):
        S3Files("https://fleet", endpoint=None)
