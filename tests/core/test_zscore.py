"""Scores of profiles without a model: how far a window's mean is from the device's own norm."""

import numpy as np
import pytest

from fleetpulse.profile import ZScoreSpec
from fleetpulse.zscore import ZScores


def zscores(spec: ZScoreSpec, devices: int = 1, channels: int = 1) -> ZScores:
    table = ZScores(spec, channels)
    table.grow(devices)
    return table


def scored(table: ZScores, means: list[float], row: int = 0) -> list[float]:
    """Windows of 3 equal slots, one batch."""
    samples = np.repeat(np.array(means, np.float32)[:, None, None], 3, axis=1)
    scores: list[float] = table.score(np.full(len(means), row), samples).tolist()
    return scores


def test_the_first_windows_only_teach() -> None:
    table = zscores(ZScoreSpec(warmup_windows=4))
    assert scored(table, [1, 3, 1, 3]) == [0, 0, 0, 0]
    assert (table.mean[0, 0], table.variance[0, 0]) == (2, 1), "plain mean and variance"
    assert scored(table, [6]) == [4]


def test_learning_follows_the_half_life() -> None:
    table = zscores(ZScoreSpec(warmup_windows=2, half_life_windows=1))
    scored(table, [1, 3])
    assert scored(table, [4, 2]) == pytest.approx([2, 1 / 1.5**0.5])
    # after 4: d = 2, mean 2 + 2/2 = 3, variance (1 + 4/2) / 2 = 1.5; after 2: d = -1
    assert table.mean[0, 0] == 2.5
    assert table.variance[0, 0] == (1.5 + 0.5) / 2


def test_a_fault_does_not_become_the_norm() -> None:
    table = zscores(ZScoreSpec(warmup_windows=2, half_life_windows=1))
    scored(table, [1, 3])
    assert scored(table, [1e6]) == [999998]
    assert table.mean[0, 0] == 2 + 1.5, "it teaches at most 3 sigma"


def test_a_steady_device_is_judged_by_the_floor() -> None:
    table = zscores(ZScoreSpec(warmup_windows=2, deviation_floor=0.5))
    scored(table, [7, 7])
    assert scored(table, [9]) == [4]


def test_the_worst_channel_decides() -> None:
    table = zscores(ZScoreSpec(warmup_windows=2, deviation_floor=1), channels=3)
    calm = np.zeros((2, 4, 3), np.float32)
    table.score(np.zeros(2, np.int64), calm)
    odd = np.broadcast_to(np.array([1, -8, 3], np.float32), (1, 4, 3)).copy()
    assert table.score(np.zeros(1, np.int64), odd).tolist() == [8]


def test_no_score_is_infinite() -> None:
    table = zscores(ZScoreSpec(warmup_windows=2, deviation_floor=5e-324))
    largest = float(np.finfo(np.float32).max)
    scored(table, [0, 0])
    assert scored(table, [largest, -largest, largest])[0] == largest
    assert np.isfinite(table.variance).all()


@pytest.mark.parametrize("channels", [1, 6])
def test_bits_do_not_depend_on_the_batch(channels: int) -> None:
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(60, 257, channels)).astype(np.float32)
    rows = np.repeat(np.arange(3), 20)
    spec = ZScoreSpec(warmup_windows=3, half_life_windows=5)
    whole, single = zscores(spec, 3, channels), zscores(spec, 3, channels)
    together = whole.score(rows, samples)
    order = np.argsort(np.tile(np.arange(20), 3), kind="stable")
    for i in order:
        alone = single.score(rows[i : i + 1], samples[i : i + 1])
        assert alone.tobytes() == together[i : i + 1].tobytes()
    assert whole.variance.tobytes() == single.variance.tobytes()
