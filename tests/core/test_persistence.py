"""A partition leaves a shard and comes back elsewhere as if nothing had happened."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fleetpulse.engine import Engine
from fleetpulse.identity import DeviceKey, partition_of
from fleetpulse.persistence import drop_partition, export_partition, import_partition
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.snapshot import PartitionSnapshot
from tests.core.invariants import check_invariants
from tests.core.logs import PARTITIONS, T0_US, Log, difference, feed, frame, fresh_engine

PUMP = Profile(
    name="pump", channels=("a", "b"), rate_hz=50, lateness_ms=200,
    window=WindowSpec(size=16, hop=8), alert=AlertRule(threshold=1, raise_after=1, dedup_s=0),
)  # fmt: skip
NAMES = [f"pump-{n}" for n in range(9)]


def running() -> tuple[Engine, Log]:
    log = Log()
    log.profile(PUMP)
    for at in (0, 20, 45):
        for number, name in enumerate(NAMES):
            log.device(name, frame(PUMP, number, at, 20), T0_US + at * 20_000)
    engine = fresh_engine()
    feed(engine, log.batch())
    return engine, log


def snapshot(engine: Engine, partition: int = 0) -> PartitionSnapshot:
    return export_partition(engine, partition, next_offset=77, topic_id="t")


def carried(before: PartitionSnapshot) -> PartitionSnapshot:
    """Through JSON, as a store does it."""
    return replace(before, meta=json.loads(json.dumps(before.meta)))


def names_in(partition: int) -> list[bytes]:
    keys = [DeviceKey("default", name).encode() for name in NAMES]
    return sorted(key for key in keys if partition_of(key, PARTITIONS) == partition)


def test_a_snapshot_is_a_copy() -> None:
    engine, log = running()
    before = snapshot(engine)
    kept = {name: array.copy() for name, array in before.arrays.items()}
    log.device(NAMES[0], frame(PUMP, 0, 100, 20), T0_US)
    feed(engine, log.batch(len(log.keys) - 1))
    for name, array in before.arrays.items():
        assert np.array_equal(array, kept[name], equal_nan=array.dtype.kind == "f"), name


def test_what_was_exported_is_imported() -> None:
    engine, _ = running()
    before = snapshot(engine)
    other = Engine(PARTITIONS)
    import_partition(other, 0, carried(before))
    check_invariants(other)
    after = snapshot(other)
    assert (after.meta, after.next_offset, after.topic_id) == (before.meta, 77, "t")
    assert after.arrays.keys() == before.arrays.keys()
    for name, array in before.arrays.items():
        assert array.tobytes() == after.arrays[name].tobytes(), name
        assert array.dtype == after.arrays[name].dtype


def test_a_dropped_partition_leaves_the_others_alone() -> None:
    engine, _ = running()
    assert sorted(engine.directory.keys_of(0)) == names_in(0)
    drop_partition(engine, 0)
    check_invariants(engine)
    assert engine.directory.keys_of(0) == []
    assert sorted(engine.directory.keys_of(1)) == names_in(1)
    assert set(engine.partitions) == {1}
    drop_partition(engine, 0)  # not here: nothing to do


def test_rows_are_used_again() -> None:
    engine, _ = running()
    capacity = len(engine.directory.cohorts[0].keys)
    for _ in range(5):
        moved = carried(snapshot(engine))
        drop_partition(engine, 0)
        import_partition(engine, 0, moved)
        check_invariants(engine)
    assert len(engine.directory.cohorts[0].keys) == capacity


def test_a_partition_taken_over_anew_replaces_what_was_there() -> None:
    engine, _ = running()
    before = carried(snapshot(engine))
    import_partition(engine, 0, before)
    check_invariants(engine)
    assert sorted(engine.directory.keys_of(0)) == names_in(0), "no device twice"
    import_partition(engine, 0, None)
    assert engine.directory.keys_of(0) == []


@pytest.mark.parametrize("at", [1, 4, 20, 30])
def test_a_takeover_changes_no_result(at: int) -> None:
    _, log = running()
    undisturbed = feed(fresh_engine(), log.batch())
    first = fresh_engine()
    effects = feed(first, log.batch(0, at))
    second = Engine(PARTITIONS)
    for partition in range(PARTITIONS):
        import_partition(second, partition, carried(snapshot(first, partition)))
    effects.extend(feed(second, log.batch(at)))
    assert not difference(effects, undisturbed)
