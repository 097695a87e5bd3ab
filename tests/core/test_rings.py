"""The frontier: what is accepted, what is late, and up to where a device is final."""

import numpy as np
import pytest

from tests.core.one_device import NAN, OneDevice


def test_an_orderly_device_has_settled_at_its_newest_sample() -> None:
    device = OneDevice(lateness_ms=500)
    device.sends(100, 1, 2, 3)
    assert (device.head, device.settled) == (103, 98), "what came before the first may still come"
    device.sends(103, 4, 5, 6, 7, 8)
    assert (device.head, device.settled) == (108, 108), "the watermark passed the beginning"
    device.sends(108, 9)
    assert device.settled == 109, "no gap, no waiting for lateness"


def test_a_gap_holds_the_frontier_until_the_watermark_passes_it() -> None:
    device = OneDevice(lateness_ms=300)
    device.runs(100, 10)
    device.sends(111, 1, 2)
    assert (device.head, device.settled) == (113, 110), "slot 110 may still come"
    device.sends(113, 3)
    assert device.settled == 114, "110 is below the watermark now, and behind it all is there"


def test_a_late_sample_fills_the_gap_and_frees_the_frontier() -> None:
    device = OneDevice(lateness_ms=300)
    device.runs(100, 10)
    device.sends(111, 1, 2)
    assert not device.sends(110, 7.0), "at the watermark is not late"
    assert device.settled == 113
    assert device.holds(109, 4) == [109, 7, 1, 2]


def test_a_sample_below_the_watermark_is_late_and_changes_nothing() -> None:
    device = OneDevice(lateness_ms=300)
    device.runs(100, 10)
    device.sends(111, 1, 2, 3)
    assert device.sends(110, 7.0), "110 is below the watermark, 111"
    assert device.holds(110, 2) == [None, 1]


def test_the_first_value_of_a_cell_wins_and_a_repetition_is_not_late() -> None:
    device = OneDevice()
    device.runs(100, 5)
    assert not device.sends(102, 9, 9, 9), "all of it is there already"
    assert device.holds(100, 5) == [100, 101, 102, 103, 104]


def test_a_repetition_older_than_the_ring_is_late() -> None:
    device = OneDevice()
    ring = device.cohort.layout.ring
    device.runs(100, ring + 1)
    assert not device.sends(101, 9.0), "the ring still holds it"
    assert device.sends(100, 9.0), "nobody remembers whether it came"


def test_a_record_across_head_is_taken_from_head_on() -> None:
    device = OneDevice(lateness_ms=1000)
    device.runs(100, 5)
    assert not device.sends(103, 9, 9, 9, 9)
    assert device.holds(102, 5) == [102, 103, 104, 9, 9]
    assert device.head == 107


def test_the_late_part_of_a_record_does_not_keep_the_rest_out() -> None:
    device = OneDevice(lateness_ms=100)
    device.sends(100, 1)
    device.sends(104, 5)
    assert device.sends(102, 8, 9, 7, 6), "102 and 103 are below the watermark"
    assert device.holds(100, 6) == [1, None, None, None, 5, 6]


def test_channels_of_one_slot_may_come_apart() -> None:
    device = OneDevice(channels=("x", "y"), lateness_ms=500)
    device.sends(100, (1, 1), (2, NAN))
    assert device.settled == 97, "before the first sample, another may come"
    device.sends(101, (NAN, 3))
    device.sends(102, (4, 4), (5, 5), (6, 6), (7, 7))
    assert device.settled == device.head == 106
    assert device.sends(101, (9, 9)) is False, "both of its cells are filled"


def test_a_device_that_lacks_a_channel_settles_at_the_watermark() -> None:
    device = OneDevice(channels=("x", "y"), lateness_ms=500)
    for slot in range(100, 120):
        device.sends(slot, (1, NAN))
    assert device.settled == device.head - 5


@pytest.mark.parametrize("jump", [1, 9, 30, 500, 10**9])
def test_silence_is_absence(jump: int) -> None:
    device = OneDevice(lateness_ms=300)
    ring = device.cohort.layout.ring
    device.runs(100, ring)
    after = 100 + ring + jump
    assert not device.sends(after, 5.0)
    assert device.head == after + 1
    held = device.holds(after + 1 - ring, ring)
    shown = min(jump, ring - 1)
    assert held[-1 - shown :] == [None] * shown + [5], "nothing of the last round of the ring"


def test_time_never_goes_back() -> None:
    device = OneDevice()
    device.sends(1000, 1.0)
    assert device.sends(500, 2.0), "a clock that was set back is late until it catches up"
    assert device.head == 1001


def test_a_row_that_is_used_again_knows_nothing_of_its_last_device() -> None:
    device = OneDevice()
    device.runs(100, 20)
    device.concludes()
    device.cohort.remove(np.array([device.row]))
    device.row = device.cohort.add(b"default/next", 0)
    assert not device.sends(50, 1.0), "its own first sample, long before the last device's"
    assert device.holds(40, 11) == [None] * 10 + [1]
