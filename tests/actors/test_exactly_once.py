"""Each result exactly once in each sink, whatever fails."""

import pytest

from actors.shard_loop import ShardLoop
from fleetpulse.effects import F32, WindowBatch
from fleetpulse.engine import Engine
from fleetpulse.errors import Fenced
from fleetpulse.ports import RecordBatch
from tests.actors.incarnations import SINKS, FakeModel, InjectedBug, World
from tests.core.logs import feed, fresh_engine, per_device
from tests.core.test_cuts import disorderly_log


@pytest.mark.parametrize("seed", range(8))
def test_crashes_and_refused_writes_neither_lose_nor_double_results(seed: int) -> None:
    log = disorderly_log(seed)
    expected = per_device(feed(fresh_engine(), log.batch()))
    world = World(log, seed, failure_rate=0.08)
    world.run()
    assert world.incarnations > 1, "nothing failed, so nothing was tested"
    for name in SINKS:
        assert per_device(world.tables[name].written) == expected, f"sink {name}, seed {seed}"
    world.live_on()
    committed = world.tables["alerts"].written
    of_people = [*committed.alerts, *committed.presences, *committed.sessions]
    told, owed = {repr(each) for each in world.told}, {repr(each) for each in of_people}
    assert told == owed, "an alert or event was committed and nobody was told"


def test_snapshots_shorten_the_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    log = disorderly_log(1)
    stepped: list[int] = []
    step = Engine.step

    def counting(engine: Engine, batch: RecordBatch) -> list[WindowBatch]:
        stepped.append(len(batch))
        return step(engine, batch)

    monkeypatch.setattr(Engine, "step", counting)
    world = World(log, 3, failure_rate=0.15)
    world.run()
    assert world.incarnations > 2
    assert sum(stepped) < world.incarnations * len(log.keys), "each incarnation began at zero"


def test_a_record_that_makes_the_core_raise_goes_to_dead_alone() -> None:
    log = disorderly_log(2)
    world = World(log, 2, failure_rate=0.0)
    poison = log.values[len(log.values) // 2]

    step = Engine.step

    def raising(engine: Engine, batch: RecordBatch) -> list[WindowBatch]:
        if poison in batch.values:
            raise InjectedBug("cannot take this one")
        return step(engine, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "step", raising)
        world.run()
    dead = [r for r in world.written().dead if r.reason == "core_error"]
    assert {r.value for r in dead} == {poison}
    assert len(dead) == log.values.count(poison)
    assert "InjectedBug" in dead[0].detail
    assert world.incarnations == 3, "one to suspect, one to find, one to pass by"


def test_a_zombie_that_has_not_heard_of_its_successor_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = disorderly_log(4)
    world = World(log, 4, failure_rate=0.0)
    zombie, reader, close_zombie = world.incarnation()
    zombie.turn()
    monkeypatch.setattr(reader, "_rebalance", lambda: None)
    world.log.owners, world.log.members = {}, []
    world.run()
    with pytest.raises(Fenced):
        turn_for_long(zombie)
    close_zombie()
    expected = per_device(feed(fresh_engine(), log.batch()))
    for name in SINKS:
        assert per_device(world.tables[name].written) == expected, f"sink {name}"


@pytest.mark.parametrize("call", [1, 3, 6])
def test_a_cut_that_failed_half_way_leaves_no_trace_when_the_reader_is_closed(call: int) -> None:
    log = disorderly_log(5)
    world = World(log, 5, failure_rate=0.0)
    world.model = ModelThatFailsOnce(call)
    world.leaves_group = True
    world.run()
    assert world.incarnations > 1, "the model never failed"
    expected = per_device(feed(fresh_engine(), log.batch()))
    for name in SINKS:
        assert per_device(world.tables[name].written) == expected, f"sink {name}"


class ModelThatFailsOnce(FakeModel):
    """Stands for a model that is not deployed yet."""

    def __init__(self, call: int) -> None:
        self._calls_left = call

    def score(self, model: str, samples: F32) -> F32:
        self._calls_left -= 1
        if self._calls_left == 0:
            raise InjectedBug("no such model")
        return super().score(model, samples)


def turn_for_long(loop: ShardLoop) -> None:
    for _ in range(1000):
        loop.turn()
