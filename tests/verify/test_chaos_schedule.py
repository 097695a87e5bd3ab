"""The chaos suite's plan and its measure, without a stack."""

import pytest

from benchmarks.chaos.flows import longest_standstill
from benchmarks.chaos.schedule import FAULTS, rounds, short
from benchmarks.steadiness import is_flat, thirds
from fleetpulse.errors import ConfigError

SECOND_US = 1_000_000


def test_a_seed_decides_everything() -> None:
    assert rounds(7, 1800) == rounds(7, 1800)
    assert rounds(7, 1800) != rounds(8, 1800)


def test_every_fault_strikes_before_one_strikes_again() -> None:
    struck = [episode.faults[0] for episode in rounds(1, 3600)]
    assert set(struck[: len(FAULTS)]) == set(FAULTS)
    assert len(struck) > len(FAULTS)


def test_half_an_hour_is_half_an_hour_of_load() -> None:
    assert 1800 <= sum(episode.seconds for episode in rounds(1, 1800)) < 1800 + 90


def test_the_short_form_fits_into_a_change() -> None:
    assert sum(episode.seconds for episode in short(1)) < 60


def test_one_kind_of_fault_can_be_asked_for() -> None:
    names = {episode.faults[0].name for episode in rounds(1, 100, "disk,shard: kill")}
    assert names == {"snapshots: full disk 20 s", "shard: kill -9"}
    with pytest.raises(ConfigError, match="sharks"):
        rounds(1, 100, "sharks")


def test_a_standstill_is_the_longest_break_of_any_flow() -> None:
    steady = list(range(0, 60 * SECOND_US, SECOND_US // 10))
    broken = [at for at in steady if not 20 * SECOND_US < at < 27 * SECOND_US]
    found = longest_standstill(
        {"steady": steady, "broken": broken}, 20 * SECOND_US, 24 * SECOND_US, 50 * SECOND_US
    )
    assert (found.flow, found.seconds, found.after_s) == ("broken", 7.0, 3.0)


def test_a_flow_that_never_comes_back_stands_still_to_the_end() -> None:
    found = longest_standstill({"202": [1, 2]}, 0, 0, 30 * SECOND_US)
    assert found.after_s == pytest.approx(30.0, abs=0.01)


def test_memory_is_flat_when_the_last_third_is_not_above_the_middle_one() -> None:
    assert is_flat(thirds([100, 300, 300, 305, 300, 310]))
    assert not is_flat(thirds([300, 300, 400, 400, 500, 500]))
    assert is_flat(thirds([1, 2])), "too few samples to say"
