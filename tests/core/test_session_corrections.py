"""Sessions of the past: what late data makes of them, and which of them are replaced."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetpulse.effects import SessionEvent
from fleetpulse.recompute.ranges import TimeRange, begin_log_time_us
from fleetpulse.recompute.sessions import SessionCorrection, compare_sessions
from tests.core.logs import T0_US
from tests.core.repairs import repaired
from tests.core.test_sessions import PUMP, Machine

HOUR_US = 3_600_000_000


def spans(events: list[SessionEvent]) -> list[tuple[float, float | None]]:
    """Start and end in seconds, of each session's newest event."""
    newest = {each.session_id: each for each in events}.values()
    return [
        (
            (each.started_at_us - T0_US) / 1e6,
            None if each.ended_at_us is None else (each.ended_at_us - T0_US) / 1e6,
        )
        for each in newest
    ]


def live_and_next(machine: Machine, cut: int = 1_000_000) -> tuple[list[object], list[object]]:
    return [*spans(machine.events())], [*spans(repaired(machine.log, cut, device="m").sessions)]


def test_a_late_second_joins_two_sessions() -> None:
    machine = Machine()
    machine.sends(0, 2, 2, 0, 0, 0, 0)
    machine.sends(4, 0, 0, 2, 2, *[0] * 10)
    machine.sends(3, 9, 9)
    assert live_and_next(machine) == ([(0, 1), (5, 6)], [(0, 6)])


def test_a_late_second_moves_a_session_s_end() -> None:
    machine = Machine()
    machine.sends(0, 2, 2)
    machine.sends(2, *[0] * 12)
    machine.sends(1, 9, 9)
    assert live_and_next(machine) == ([(0, 1)], [(0, 2)])


def test_a_late_second_opens_a_session_again() -> None:
    machine = Machine()
    machine.sends(0, 2, 2, 0, 0, 0, 0)
    machine.sends(4, *[0] * 4)
    machine.sends(3, 9, 9)
    assert live_and_next(machine) == ([(0, 1)], [(0, None)])


def test_a_silence_parts_next_s_sessions_where_it_parted_live_s() -> None:
    machine = Machine()
    machine.sends(0, 2, 2)
    machine.ticks(1, 9)  # more than five seconds without a record
    machine.sends(2, *[2] * 2, *[0] * 8)
    machine.sends(1, 9, 9)
    live, next_ = live_and_next(machine)
    assert live == [(0, 1), (2, 3)]
    assert next_ == [(0, 1), (1, 3)]


def test_a_session_ends_with_its_life() -> None:
    machine = Machine()
    machine.sends(0, 2, 2)
    machine.log.profile(PUMP.model_copy(update={"revision": 2}))
    machine.sends(1, 2, 2)
    assert live_and_next(machine) == ([(0, 1), (1, None)], [(0, 1), (1, None)])


def test_a_silent_device_has_no_session_that_runs_however_long_its_profile_waits() -> None:
    machine = Machine()
    machine.ticks(0, 0)
    machine.sends(0, *[0] * 12, 2, 2)
    machine.sends(7.5, 2)
    machine.log.profile(PUMP.model_copy(update={"revision": 2, "lateness_ms": 4000}))
    machine.sends(8, 2, 2)

    def next_() -> list[tuple[float, float | None]]:
        return spans(repaired(machine.log, device="m", cause="profile").sessions)

    assert next_() == [(6, None)], "it waits for the first half of the second 7"
    machine.ticks(9, 18)
    assert next_() == [(6, 7)]
    machine.sends(22, 0, 0)
    assert next_() == [(6, 9)], "the device is back, and nothing is waited for any more"


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.lists(st.sampled_from([0, 2]), min_size=1, max_size=8),
            st.integers(1, 12),  # seconds of silence
        ),
        max_size=12,
    ),
    cut=st.sampled_from([1, 3, 1000]),
)
def test_without_late_data_next_has_live_s_sessions(steps: list[list[int] | int], cut: int) -> None:
    machine, second = Machine(), 0.5
    machine.sends(0, 0)
    for step in steps:
        if isinstance(step, int):
            machine.ticks(int(second), int(second) + step)
            second += step
        else:
            machine.sends(second, *step)
            second += len(step) / 2
    live = {each.session_id: each for each in machine.events()}
    next_ = {each.session_id: each for each in repaired(machine.log, cut, device="m").sessions}
    assert repr(next_) == repr(live), "statistics and all"


# which are replaced


def session(start_s: int, end_s: int | None, name: str = "") -> SessionEvent:
    return SessionEvent(
        partition=0,
        session_id=name or f"{start_s}",
        tenant="default",
        device_id="m",
        profile="pump@1",
        kind="started" if end_s is None else "ended",
        started_at_us=start_s * 1_000_000,
        ended_at_us=None if end_s is None else end_s * 1_000_000,
        summary=None,
    )


def compared(
    touched: tuple[int, int],
    before: list[SessionEvent],
    after: list[SessionEvent],
    exact_from_s: int = 0,
) -> SessionCorrection:
    def named(events: list[SessionEvent]) -> Mapping[str, SessionEvent]:
        return {each.session_id: each for each in events}

    of = TimeRange(touched[0] * 1_000_000, touched[1] * 1_000_000)
    return compare_sessions(of, exact_from_s * 1_000_000, 3_000_000, named(before), named(after))


def test_only_sessions_that_the_range_reaches_are_replaced() -> None:
    all_of_them = [session(0, 10), session(20, 30), session(33, 40), session(50, 60)]
    found = compared((31, 32), all_of_them, all_of_them)
    assert [each.session_id for each in found.sessions] == ["20", "33"]
    assert (found.reached.from_us, found.reached.to_us) == (20_000_000, 40_000_000)
    assert found.known == ["0", "20", "33", "50"]


def test_what_is_replaced_overlaps_nothing_that_stays() -> None:
    before = [session(0, 10), session(20, 30), session(40, 50)]
    after = [session(8, 25, "longer"), session(40, 50)]
    found = compared((22, 23), before, after)
    assert [each.session_id for each in found.sessions] == ["longer"]
    assert (found.reached.from_us, found.reached.to_us) == (0, 30_000_000)


def test_a_session_that_runs_reaches_to_the_end_of_time() -> None:
    found = compared((15, 16), [session(12, 20)], [session(12, None), session(90, None, "other")])
    assert found.runs
    assert len(found.sessions) == 2
    assert not compared((1, 2), [], [session(12, None)]).runs


def test_a_session_whose_begin_is_not_known_stays_as_it_was() -> None:
    both = [session(102, 110), session(120, 130)]
    found = compared((105, 125), both, both, exact_from_s=100)
    assert [each.session_id for each in found.sessions] == ["120"]
    assert found.started_from_us == 110_000_000
    assert found.cut


def test_no_session_is_withdrawn_under_one_that_is_not_written() -> None:
    live = [session(200, 210), session(300, 310)]
    found = compared((205, 206), live, [session(101, 290), session(300, 310)], exact_from_s=100)
    assert found.sessions == []
    assert found.started_from_us == 290_000_000, "behind both of live's that are reached"
    assert found.cut


def test_a_session_that_runs_and_is_not_written_keeps_all_behind_it() -> None:
    live = [session(200, 210), session(300, None)]
    found = compared((205, 206), live, [session(101, None)], exact_from_s=100)
    assert found.started_from_us > max(each.started_at_us for each in live)
    assert not found.runs


def test_no_session_is_written_into_one_that_stays() -> None:
    found = compared(
        (205, 206), [session(101, 290)], [session(101, 150), session(200, 290)], exact_from_s=100
    )
    assert found.sessions == []
    assert found.started_from_us == 290_000_000


def test_what_overlaps_an_unwritten_session_of_another_life_stays_too() -> None:
    after = [session(101, 150), session(140, 220, "other life"), session(230, 240)]
    found = compared((145, 235), [session(225, 240)], after, exact_from_s=100)
    assert [each.session_id for each in found.sessions] == ["230"]
    assert found.started_from_us == 220_000_000


def test_nothing_is_cut_where_the_log_reaches_back() -> None:
    found = compared((205, 206), [session(200, 210)], [session(104, 290)], exact_from_s=100)
    assert not found.cut
    assert [each.session_id for each in found.sessions] == ["104"]
    assert not compared((1, 2), [session(0, 5)], [session(0, 9)]).cut


@pytest.mark.parametrize(
    ("session_us", "expected_us"),
    [
        (None, 5 * 24 * HOUR_US),
        (5 * 24 * HOUR_US - HOUR_US, 5 * 24 * HOUR_US - HOUR_US - 3_000_000),
        (5 * 24 * HOUR_US + 1_000_000, 5 * 24 * HOUR_US - 2_000_000),
    ],
    ids=["none", "since yesterday", "since just after midnight"],
)
def test_computing_begins_before_the_first_session_that_is_reached(
    session_us: int | None, expected_us: int
) -> None:
    changed = TimeRange(5 * 24 * HOUR_US + HOUR_US, 5 * 24 * HOUR_US + 2 * HOUR_US)
    without = PUMP.model_copy(update={"session": None})
    day_us = begin_log_time_us(changed, without, None)
    found_us = begin_log_time_us(changed, PUMP, session_us)
    assert day_us is not None
    assert found_us is not None
    assert day_us - found_us == 5 * 24 * HOUR_US - expected_us
