"""A savepoint is the state right behind its record, whatever fails meanwhile."""

import time

import pytest

from adapters.snapshots.savepoints import described, store_of
from fleetpulse.engine import Engine
from fleetpulse.persistence import import_partition
from fleetpulse.telemetry_pb2 import Control, ResultVersion, Savepoint
from tests.actors.incarnations import SINKS, World
from tests.core.logs import PARTITIONS, Log, feed, fresh_engine, per_device
from tests.core.test_cuts import disorderly_log

NAME = "before"


def asked(log: Log, change: Control, share: float = 0.5) -> Log:
    """The log with a control record in each partition, after a share of its records."""
    at = int(len(log.keys) * share)
    out = Log()
    records = list(zip(log.partitions, log.keys, log.values, log.log_time_us, strict=True))
    for record in records[:at]:
        out.append(*record)
    out.control(change, log.log_time_us[at - 1])
    for record in records[at:]:
        out.append(*record)
    return out


def savepoint(name: str = NAME) -> Control:
    return Control(id=f"savepoint:{name}", savepoint=Savepoint(name=name))


def behind(log: Log, control: Control) -> dict[int, int]:
    """Of each partition the offset behind a control."""
    value = control.SerializeToString()
    places = zip(log.partitions, log.offsets, log.values, strict=True)
    return {partition: offset + 1 for partition, offset, found in places if found == value}


def finish(world: World) -> None:
    """To the log's end, and until the savepoint is whole: a run may end while it is written."""
    world.run()
    deadline_s = time.monotonic() + 30
    while described(world.files, NAME, partitions=PARTITIONS).problem:
        assert time.monotonic() < deadline_s, "no replay completes the savepoint"
        world.live_on()


def continued(world: World, log: Log) -> Engine:
    """An engine that goes on from the savepoint."""
    engine, store = Engine(PARTITIONS), store_of(world.files, NAME)
    for partition in range(PARTITIONS):
        import_partition(engine, partition, store.load(partition))
    return engine


@pytest.mark.parametrize("seed", range(6))
def test_what_follows_a_savepoint_is_what_followed_its_record(seed: int) -> None:
    log = asked(disorderly_log(seed), savepoint())
    world = World(log, seed, failure_rate=0.05 if seed % 2 else 0.0)
    finish(world)
    kept = described(world.files, NAME, partitions=PARTITIONS, thorough=True)
    assert not kept.problem
    assert kept.offsets == behind(log, savepoint()), "it is not right behind the record"
    at = next(n for n, v in enumerate(log.values) if v == savepoint().SerializeToString())
    reference = fresh_engine()
    feed(reference, log.batch(0, at + PARTITIONS))
    assert per_device(feed(continued(world, log), log.batch(at + PARTITIONS))) == per_device(
        feed(reference, log.batch(at + PARTITIONS))
    )
    for name in SINKS:
        assert per_device(world.tables[name].written) == per_device(
            feed(fresh_engine(), log.batch())
        ), f"sink {name}: a savepoint changed results"


def test_later_generations_leave_a_savepoint_whole() -> None:
    log = asked(disorderly_log(3), savepoint(), share=0.1)
    world = World(log, 3, failure_rate=0.1)
    finish(world)
    world.live_on()
    assert world.files.ls("partition-0000"), "no other generation was stored"
    kept = described(world.files, NAME, partitions=PARTITIONS, thorough=True)
    assert not kept.problem
    generations = {each.next_offset for each in store_of(world.files, NAME).ls()}
    assert generations == set(behind(log, savepoint()).values())


def test_results_of_a_version_that_this_release_does_not_compute_stop_their_partition() -> None:
    change = Control(id="v", result_version=ResultVersion(version=3))
    log = asked(disorderly_log(2), change)
    world = World(log, 2, failure_rate=0.0)
    loop, _, close = world.incarnation()
    for _ in range(200):
        loop.turn()
    stopped = loop._ownership.stopped
    assert set(stopped) == set(range(PARTITIONS))
    assert "version 3" in stopped[0]
    close()
    for partition, offset in behind(log, change).items():
        claim = world.tables["kafka"].claims[partition]
        assert claim.next_offset == offset - 1, "something behind the record was processed"


def test_the_version_that_results_have_may_be_repeated() -> None:
    change = Control(id="v", result_version=ResultVersion(version=2))
    log = asked(disorderly_log(2), change)
    world = World(log, 2, failure_rate=0.0)
    world.run()
    expected = per_device(feed(fresh_engine(), disorderly_log(2).batch()))
    found = per_device(world.written())
    kinds = {kind for kind in expected if not kind.startswith(("dead", "late"))}
    assert {k: found[k] for k in kinds} == {k: expected[k] for k in kinds}
    assert not [each for each in world.written().dead if each.reason == "bad_control"]
