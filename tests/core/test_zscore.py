"""Scores of profiles without a model: how far a window's mean is from the device's own norm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpulse.effects import F32, I64
from fleetpulse.profile import ZScoreSpec
from fleetpulse.zscore import ZScores
from tests.core.plain.zscore import PlainZScores

LARGEST = float(np.finfo(np.float32).max)
EXTREME = np.array([0.0, -0.0, 1e-45, -1e-38, LARGEST, -LARGEST], np.float32)


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
    scored(table, [0, 0])
    assert scored(table, [LARGEST, -LARGEST, LARGEST])[0] == LARGEST
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


@st.composite
def batches(draw: st.DrawFn, devices: int, channels: int) -> list[tuple[I64, F32]]:
    """Rows in any order and often the same; steady devices, any scale, extreme values."""
    slots = draw(st.integers(1, 70) | st.sampled_from([255, 256, 257]))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    out = []
    for _ in range(draw(st.integers(1, 4))):
        rows = random.integers(0, devices, draw(st.integers(0, 12)))
        scale = 10.0 ** draw(st.integers(-44, 37))
        samples = (random.normal(size=(len(rows), slots, channels)) * scale).astype(np.float32)
        samples[random.random(len(rows)) < 0.2] = draw(st.sampled_from([0.0, 7.0, 1e-40]))
        cells = random.random(samples.shape) < draw(st.sampled_from([0.0, 0.1, 1.0]))
        samples[cells] = random.choice(EXTREME, int(cells.sum()))
        out.append((rows, samples))
    return out


@given(st.data())
def test_the_kernel_is_what_numpy_says(data: st.DataObject) -> None:
    spec = ZScoreSpec(
        half_life_windows=data.draw(st.sampled_from([1e-3, 0.5, 3, 500])),
        warmup_windows=data.draw(st.integers(2, 6)),
        deviation_floor=data.draw(st.sampled_from([5e-324, 1e-6, 1.0, 1e300])),
    )
    channels, devices = data.draw(st.integers(1, 64)), data.draw(st.integers(1, 5))
    kernel, plain = ZScores(spec, channels), PlainZScores(spec, channels)
    kernel.grow(devices)
    plain.grow(devices)
    for rows, samples in data.draw(batches(devices, channels)):
        scores = [table.score(rows, samples) for table in (kernel, plain)]
        assert scores[0].tobytes() == scores[1].tobytes()
        for column, values in kernel.export(np.arange(devices)).items():
            assert values.tobytes() == getattr(plain, column).tobytes(), column


@pytest.mark.parametrize(
    ("rows", "shape", "message"),
    [
        pytest.param([-1], (1, 4, 3), "a row that there is not", id="row before the first"),
        pytest.param([2], (1, 4, 3), "a row that there is not", id="row beyond the last"),
        pytest.param([0], (1, 0, 3), "no samples", id="windows of no slots"),
        pytest.param([0, 0], (1, 4, 3), "argument 1 has 48 bytes, not 96", id="too few windows"),
        pytest.param([0], (1, 4, 4), "argument 4 has 48 bytes, not 64", id="too many channels"),
    ],
)
def test_nothing_outside_the_arrays_is_touched(
    rows: list[int], shape: tuple[int, ...], message: str
) -> None:
    table = zscores(ZScoreSpec(), devices=2, channels=3)
    with pytest.raises(ValueError, match=message):
        table.score(np.array(rows), np.zeros(shape, np.float32))
