"""Whose records are refused: counted, bounded, forgotten after minutes."""

from actors import causes as module
from actors.causes import ENTRIES_MAX, HALF_WINDOW_S, Causes

NOW_NS = 1_790_000_000 * 10**9


class Clock:
    def __init__(self) -> None:
        self.ns = NOW_NS

    def __call__(self) -> int:
        return self.ns


def test_each_device_and_cause_is_counted_since_its_first() -> None:
    clock = Clock()
    causes = Causes(clock)
    causes.note(b"default/pump-1", "future")
    clock.ns += 10**9
    for _ in range(3):
        causes.note(b"default/pump-2", "undecodable")
    causes.note(b"default/pump-1", "future")
    worst, other = causes.listed()
    assert (worst.device, worst.cause, worst.count) == ("default/pump-2", "undecodable", 3)
    assert (other.device, other.cause, other.count) == ("default/pump-1", "future", 2)
    assert other.since_us == NOW_NS // 1000


def test_counts_are_those_of_the_last_minutes() -> None:
    clock = Clock()
    causes = Causes(clock)
    causes.note(b"default/pump-1", "future")
    clock.ns += round(1.5 * HALF_WINDOW_S * 1e9)
    causes.note(b"default/pump-1", "future")
    (known,) = causes.listed()
    assert (known.count, known.since_us) == (2, NOW_NS // 1000)
    clock.ns += round(1.5 * HALF_WINDOW_S * 1e9)
    assert [each.count for each in causes.listed()] == [1]
    clock.ns += round(2 * HALF_WINDOW_S * 1e9)
    assert causes.listed() == (), "old news without a new record"


def test_a_flood_of_names_does_not_hide_the_worst() -> None:
    causes = Causes(Clock())
    for number in range(5 * ENTRIES_MAX):
        causes.note(b"default/made-up-%d" % number, "future")
        if number % 10 == 0:
            causes.note(b"default/pump-1", "over_rate")
    assert causes.listed()[0].device == "default/pump-1"
    assert len(causes._newest) <= ENTRIES_MAX
    assert len(causes.listed()) == module.LISTED_MAX
