"""Which windows are cut, which are scored, and what the model sees."""

import numpy as np
import pytest

from fleetpulse.identity import phase_of
from fleetpulse.profile import WindowSpec
from tests.core.one_device import NAN, OneDevice


@pytest.mark.parametrize(("size", "hop"), [(4, 4), (4, 3), (4, 1), (1, 1), (25, 7)])
def test_windows_begin_every_hop_from_the_epoch_on(size: int, hop: int) -> None:
    device = OneDevice(window=WindowSpec(size=size, hop=hop, aligned=True, coverage_min=1))
    device.runs(1000, 200)
    starts = [start for start in range(1000, 1201 - size) if start % hop == 0]
    expected = {s + size: list(range(s, s + size)) for s in starts}
    assert device.windows() == expected


def test_devices_do_not_all_end_their_windows_at_once() -> None:
    hop, ends = 50, set()
    for number in range(20):
        key = f"default/pump-{number}".encode()
        device = OneDevice(key, window=WindowSpec(size=50, hop=hop))
        device.runs(1000, 120)
        first = min(device.windows())
        assert first % hop == phase_of(key, hop)
        ends.add(first)
    assert len(ends) > 10, "phases are spread over the hop"


def test_a_window_closes_with_its_last_sample() -> None:
    device = OneDevice(lateness_ms=1000)
    device.runs(100, 15)
    assert max(device.windows()) == 112
    device.sends(115, 7.0)
    assert max(device.windows()) == 116, "no gap: it does not wait for lateness"


def test_a_gap_closes_its_window_when_the_watermark_passes() -> None:
    device = OneDevice(lateness_ms=300, window=WindowSpec(size=4, hop=4, aligned=True,
                                                          coverage_min=0.5))  # fmt: skip
    device.runs(100, 9)
    device.sends(110, 110, 111)
    assert max(device.windows()) == 108, "109 may still come"
    device.sends(112, 112.0)
    assert max(device.windows()) == 112
    assert device.windows()[112] == [108, 108, 110, 111], "109 is held from 108"


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ((1, NAN, NAN, 2), [1, 1, 1, 2]),
        ((NAN, NAN, 5, NAN), [5, 5, 5, 5]),
        ((NAN, 6, 7, NAN), [6, 6, 7, 7]),
        ((1, 2, 3, 4), [1, 2, 3, 4]),
    ],
)
def test_absent_values_are_held(sent: tuple[float, ...], seen: list[float]) -> None:
    device = OneDevice(window=WindowSpec(size=4, hop=4, aligned=True, coverage_min=0.25))
    device.sends(100, *sent)
    assert device.windows() == {104: seen}


def test_a_value_before_the_window_is_not_held_into_it() -> None:
    device = OneDevice(window=WindowSpec(size=4, hop=4, aligned=True, coverage_min=0.25))
    device.sends(100, 1, 1, 1, 9, NAN, NAN, 5, 6)
    assert device.windows()[108] == [5, 5, 5, 6]


@pytest.mark.parametrize(
    ("size", "coverage_min", "enough"),
    [(100, 0.55, 55), (100, 0.28, 28), (100, 0.29, 29), (10, 0.7, 7), (4, 1.0, 4)],
)
def test_exactly_the_least_coverage_is_enough(size: int, coverage_min: float, enough: int) -> None:
    window = WindowSpec(size=size, hop=size, aligned=True, coverage_min=coverage_min)
    for present, scored in ((enough, True), (enough - 1, False)):
        device = OneDevice(window=window, block_samples_max=100)
        device.sends(size * 10, *[1.0] * present)
        device.sends(size * 11, 1.0)
        assert (size * 11 in device.windows()) is scored, f"{present} of {size} slots"


def test_a_channel_without_any_value_is_no_window() -> None:
    device = OneDevice(channels=("x", "y"), window=WindowSpec(size=4, hop=4, aligned=True,
                                                              coverage_min=0.1))  # fmt: skip
    device.sends(100, (1, NAN), (1, NAN), (1, NAN), (1, NAN), (1, NAN), (1, 5), (1, NAN), (1, NAN))
    assert list(device.windows()) == [108]


def test_silence_of_years_closes_what_was_open_and_nothing_else() -> None:
    device = OneDevice(window=WindowSpec(size=4, hop=1, aligned=True, coverage_min=0.5))
    device.runs(100, 6)
    device.sends(10**10, 1.0)
    assert sorted(device.windows()) == [102, 103, 104, 105, 106, 107, 108]


def test_windows_of_many_devices_are_their_own() -> None:
    device = OneDevice()
    rows = [device.row] + [device.cohort.add(f"default/{n}".encode(), 0) for n in range(40)]
    for row in rows:
        device.row = row
        device.sends(100, *(float(row * 10 + k) for k in range(4)))
    closed = device.cohort.closed_windows()
    assert closed.rows.tolist() == rows
    assert np.array_equal(closed.samples[:, :, 0], np.arange(4) + 10 * np.array(rows)[:, None])
