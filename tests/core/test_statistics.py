"""Statistics have one value, to the bit, however many devices are reduced at once."""

import numpy as np
import pytest

from fleetpulse.statistics import merge
from tests.core.plain.rollups import describe, single
from tests.core.plain.tree_sum import tree_sum


def gapped(n: int, slots: int, channels: int) -> np.ndarray:
    rng = np.random.default_rng(n * slots + channels)
    samples = (rng.normal(size=(n, slots, channels)) * 10 ** rng.uniform(-3, 3)).astype(np.float32)
    samples[rng.random(samples.shape) < 0.1] = np.nan
    return samples


@pytest.mark.parametrize("channels", [1, 2, 6, 64])
@pytest.mark.parametrize("slots", [1, 2, 3, 100, 1000])
def test_bits_do_not_depend_on_the_batch(slots: int, channels: int) -> None:
    samples = gapped(33, slots, channels)
    whole = describe(samples)
    for i in (0, 1, 32):
        for part in (samples[i : i + 1], np.asfortranarray(samples[i : i + 1])):
            alone = describe(part)
            for name in ("count", "min", "max", "mean", "m2", "std"):
                together = getattr(whole, name)[i].tobytes()
                assert getattr(alone, name)[0].tobytes() == together, f"{name} of device {i}"


@pytest.mark.parametrize("channels", [1, 5])
def test_bits_do_not_depend_on_the_other_channels(channels: int) -> None:
    samples = gapped(8, 257, channels)
    whole = describe(samples)
    alone = describe(samples[:, :, :1].copy())
    assert whole.mean[:, 0].tobytes() == alone.mean[:, 0].tobytes()
    assert whole.m2[:, 0].tobytes() == alone.m2[:, 0].tobytes()


def test_describe_is_what_numpy_says() -> None:
    samples = gapped(50, 77, 3)
    stats = describe(samples)
    exact = samples.astype(np.float64)
    assert np.array_equal(stats.count, (~np.isnan(exact)).sum(axis=1))
    assert np.array_equal(stats.min, np.nanmin(exact, axis=1))
    assert np.array_equal(stats.max, np.nanmax(exact, axis=1))
    np.testing.assert_allclose(stats.mean, np.nanmean(exact, axis=1), rtol=1e-12)
    np.testing.assert_allclose(stats.std, np.nanstd(exact, axis=1), rtol=1e-12)


def test_nothing_has_no_spread() -> None:
    stats = describe(np.full((2, 5, 1), np.nan, np.float32))
    assert stats.count.tolist() == [[0], [0]]
    assert np.isnan(stats.std).all()


def test_zeros_have_one_sign() -> None:
    for order in ([-0.0, 0.0], [0.0, -0.0]):
        stats = describe(np.array(order, np.float32).reshape(1, 2, 1))
        assert [stats.min.tobytes(), stats.max.tobytes()] == [bytes(8), bytes(8)]
    assert single(np.array([[-0.0]])).min.tobytes() == bytes(8)


def test_merged_parts_describe_the_whole() -> None:
    samples = gapped(4, 600, 2)
    merged = describe(np.full((4, 1, 2), np.nan, np.float32))
    for begin, end in ((0, 1), (1, 200), (200, 201), (201, 600)):
        merged = merge(merged, describe(samples[:, begin:end]))
    whole = describe(samples)
    for name in ("count", "min", "max"):
        assert np.array_equal(getattr(merged, name), getattr(whole, name))
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-10)
    np.testing.assert_allclose(merged.std, whole.std, rtol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 1000])
def test_tree_sum_adds_halves(n: int) -> None:
    assert tree_sum(np.arange(2.0 * n).reshape(2, n)).tolist() == [
        n * (n - 1) / 2, n * (n - 1) / 2 + n * n,
    ]  # fmt: skip
