"""The guard against lost speed notices a loss, and only a loss."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from benchmarks.smoke.frames import frame_pairs
from benchmarks.smoke.ingest import ingest_pairs
from benchmarks.smoke.race import (
    LOSS_MAX,
    Pair,
    Work,
    load_ratios,
    race,
    ratio_of,
    save_ratios,
)
from benchmarks.smoke.shard import shard_pairs
from fleetpulse.engine import Engine
from fleetpulse.errors import ConfigError

ROUNDS = 4
SLOWER = 0.4
T = TypeVar("T")


def burn(cpu_s: float) -> None:
    until_s = time.process_time() + cpu_s
    while time.process_time() < until_s:
        pass


def burning(cpu_s: float) -> Callable[[], Work]:
    return lambda: lambda: burn(cpu_s)


def slowed(method: Callable[..., T]) -> Callable[..., T]:
    """The same, for 40 % more CPU time."""

    def slow(*args: object) -> T:
        begun_s = time.process_time()
        answer = method(*args)
        burn(SLOWER * (time.process_time() - begun_s))
        return answer

    return slow


def test_a_core_that_is_two_fifths_slower_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    core = next(pair for pair in frame_pairs() if pair.name == "core, small batches")
    committed = {core.name: ratio_of(core, rounds=ROUNDS)}
    (now,) = race([core], committed, rounds=ROUNDS)
    assert not now.lost, f"nothing changed, and yet {now.loss:+.0%}"
    monkeypatch.setattr(Engine, "step", slowed(Engine.step))
    monkeypatch.setattr(Engine, "conclude", slowed(Engine.conclude))
    (then,) = race([core], committed, rounds=ROUNDS)
    assert then.lost, f"{then.loss:+.0%} went unnoticed"


def test_a_loss_within_the_bound_passes_and_the_machine_does_not_count() -> None:
    committed = {"a": 2.0}
    for unit_s in (0.01, 0.03):
        pair = Pair("a", burning(2 * (1 + LOSS_MAX / 2) * unit_s), burning(unit_s))
        (result,) = race([pair], committed, rounds=2)
        assert not result.lost, "both got slower alike, or by less than the bound"


def test_what_seems_lost_is_raced_again() -> None:
    costs_s = iter([0.04, 0.02])

    def ours() -> Work:
        return burning(next(costs_s))()

    pair = Pair("a", ours, burning(0.01))
    (result,) = race([pair], {"a": 2.0}, rounds=1)
    assert not result.lost
    assert next(costs_s, None) is None, "the second attempt was taken"


def test_a_pair_without_a_committed_ratio_fails_until_it_is_renewed(tmp_path: Path) -> None:
    pair = Pair("new", burning(0.01), burning(0.01))
    results = race([pair], {}, rounds=1)
    assert results[0].lost
    file = tmp_path / "smoke.json"
    with pytest.raises(ConfigError, match="--renew"):
        load_ratios(file)
    save_ratios(results, file)
    assert not race([pair], load_ratios(file), rounds=3)[0].lost


def test_every_pair_has_a_committed_ratio() -> None:
    names = {pair.name for pair in (*frame_pairs(), *shard_pairs(), *ingest_pairs())}
    assert names == load_ratios().keys(), "fleetpulse bench smoke --renew"
