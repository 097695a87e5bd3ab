"""A partition leaves a shard and comes back elsewhere as if nothing had happened."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fleetpulse.columns import Buffers
from fleetpulse.engine import Engine
from fleetpulse.identity import CONTROL_KEY, DeviceKey, partition_of
from fleetpulse.persistence import drop_partition, export_partition, import_partition
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.snapshot import PartitionSnapshot
from fleetpulse.telemetry_pb2 import Assignment, Control
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


def arrays(of: PartitionSnapshot) -> dict[str, np.ndarray]:
    """Everything it says of devices, in the order of their keys."""
    found: dict[str, np.ndarray] = {}
    for states in of.cohorts:
        order = np.argsort(states.keys)
        named = {"keys": states.keys, "active": states.active, **states.known, **states.rows}
        found |= {f"{states.profile.ref} {n}": values[order] for n, values in named.items()}
    return found


def names_in(partition: int) -> list[bytes]:
    keys = [DeviceKey("default", name).encode() for name in NAMES]
    return sorted(key for key in keys if partition_of(key, PARTITIONS) == partition)


def test_a_snapshot_is_a_copy() -> None:
    engine, log = running()
    before = snapshot(engine)
    kept = {name: array.copy() for name, array in arrays(before).items()}
    log.device(NAMES[0], frame(PUMP, 0, 100, 20), T0_US)
    feed(engine, log.batch(len(log.keys) - 1))
    for name, array in arrays(before).items():
        assert np.array_equal(array, kept[name], equal_nan=array.dtype.kind == "f"), name


def test_what_was_exported_is_imported() -> None:
    engine, _ = running()
    before = snapshot(engine)
    other = Engine(PARTITIONS)
    import_partition(other, 0, carried(before))
    check_invariants(other)
    after = snapshot(other)
    assert (after.meta, after.next_offset, after.topic_id) == (before.meta, 77, "t")
    assert arrays(after).keys() == arrays(before).keys()
    for name, array in arrays(before).items():
        assert array.tolist() == arrays(after)[name].tolist() or array.dtype.kind == "f", name
        assert array.dtype == object or array.tobytes() == arrays(after)[name].tobytes(), name
        assert array.dtype == arrays(after)[name].dtype


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


def test_a_snapshot_from_before_silence_and_sessions_is_taken() -> None:
    engine, log = running()
    before = snapshot(engine)
    for states in before.cohorts:
        for name in ("accepted_us", "deadline_us", "offline"):
            del states.known[name]
        for name in [name for name in states.rows if name.startswith("sessions.")]:
            del states.rows[name]
    del before.meta["attended"], before.meta["away"]
    other = Engine(PARTITIONS)
    import_partition(other, 0, carried(before))
    import_partition(other, 1, carried(snapshot(engine, 1)))
    check_invariants(other)
    for number, name in enumerate(NAMES):
        log.device(name, frame(PUMP, number, 80, 20), T0_US + 80 * 20_000)
    more = len(log.keys) - len(NAMES)
    assert not difference(feed(other, log.batch(more)), feed(engine, log.batch(more)))


def test_copies_in_the_same_buffers_are_what_fresh_copies_are() -> None:
    engine, _ = running()
    buffers = Buffers()
    for partition in (1, 0, 1):
        fresh = arrays(snapshot(engine, partition))
        again = export_partition(engine, partition, next_offset=77, topic_id="t", buffers=buffers)
        for name, array in arrays(again).items():
            assert array.tolist() == fresh[name].tolist() or array.dtype.kind == "f", name
            assert array.dtype == object or array.tobytes() == fresh[name].tobytes(), name


def test_partitions_may_know_different_profiles_by_one_name() -> None:
    log = Log()
    for partition, channels in enumerate([("a", "b"), ("a",)]):
        other = PUMP.model_copy(update={"channels": channels})
        assigned = Assignment(profile="pump")
        for change in ({"profile_yaml": other.to_yaml()}, {"assignment": assigned}):
            control = Control(id=str(change), **change)
            log.append(partition, CONTROL_KEY, control.SerializeToString(), T0_US)
        for key in names_in(partition):
            log.append(partition, key, frame(other, 0, 0, 5), T0_US)
    engine, buffers = fresh_engine(), Buffers()
    assert not feed(engine, log.batch()).dead
    for partition in (0, 1, 0):
        again = export_partition(engine, partition, next_offset=77, topic_id="t", buffers=buffers)
        expected = arrays(snapshot(engine, partition))
        assert [len(values) for values in arrays(again).values()] == [
            len(values) for values in expected.values()
        ]
