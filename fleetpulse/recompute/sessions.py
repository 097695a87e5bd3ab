"""Which sessions must be replaced: those that a range of time reaches, of live's and of next's.

Silence is not among them: it was decided by log time and people have seen it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleetpulse.cohort import Cohort
from fleetpulse.effects import SessionEvent
from fleetpulse.profile import Profile
from fleetpulse.recompute.ranges import TimeRange

_RUNNING_US = 1 << 60


@dataclass(frozen=True, slots=True)
class SessionCorrection:
    """A promotion's sessions, for one device."""

    sessions: list[SessionEvent]
    """Every session of that time, as it should be; started: it still runs."""
    known: list[str]
    """Ids of all that next has: none of them is withdrawn."""
    before: list[str]
    """Ids that live has given."""
    reached: TimeRange
    """Sessions that share a moment with it and are not known are withdrawn."""
    started_from_us: int
    """Those that started earlier stay as they are: the runs lack records before them, or they
    share time with such a session."""
    cut: bool
    """One that is reached began before the runs could tell: a longer reading would replace it."""

    @property
    def runs(self) -> bool:
        """Whether one still runs: live will not end it as next will."""
        return any(each.kind == "started" for each in self.sessions)


def compare_sessions(
    touched: TimeRange,
    exact_from_us: int,
    gap_us: int,
    before: Mapping[str, SessionEvent],
    after: Mapping[str, SessionEvent],
) -> SessionCorrection:
    """What replaces live's sessions. gap_us: the longest pause within one."""
    both = [*before.values(), *after.values()]
    reached = _reached(touched, gap_us, both)
    # Whether a session began there is known if no earlier one could have gone on until then.
    known_from_us = exact_from_us + gap_us if exact_from_us else 0
    started_from_us = _free_from_us(known_from_us, [x for x in both if _touches(reached, x)])
    return SessionCorrection(
        sessions=[
            each
            for each in after.values()
            if each.started_at_us >= started_from_us and _touches(reached, each)
        ],
        known=list(after),
        before=list(before),
        reached=reached,
        started_from_us=started_from_us,
        cut=started_from_us > known_from_us,
    )


def gap_us(profiles: Iterable[Profile]) -> int:
    """The longest pause that a session may have; 0 without sessions."""
    return max((each.session.gap_s for each in profiles if each.session), default=0) * 1_000_000


def ends_us(cohort: Cohort, row: int) -> int:
    """When the session that runs can end at the earliest."""
    assert cohort.profile.session is not None
    assert cohort.sessions is not None
    last_s = int(cohort.sessions.span.index[row])
    return (last_s + 1 + cohort.profile.session.gap_s) * 1_000_000


def _reached(touched: TimeRange, gap_us: int, sessions: list[SessionEvent]) -> TimeRange:
    """The range and all sessions that it touches, and those that they touch, and so on.

    So what is replaced overlaps nothing that stays.
    """
    reached = TimeRange(touched.from_us - gap_us, touched.to_us + gap_us)
    while True:
        met = [each for each in sessions if _touches(reached, each)]
        wider = TimeRange(
            min([reached.from_us, *(each.started_at_us for each in met)]),
            max([reached.to_us, *(_end_us(each) for each in met)]),
        )
        if wider == reached:
            return reached
        reached = wider


def _free_from_us(from_us: int, sessions: list[SessionEvent]) -> int:
    """From when on nothing overlaps a session that started before `from_us`, or one that overlaps
    such a session, and so on.

    Those are not written. Where live's were withdrawn under them, or next's written into them,
    time would have no session or two.
    """
    for each in sorted(sessions, key=lambda session: session.started_at_us):
        if each.started_at_us < from_us:
            from_us = max(from_us, _end_us(each))
    return from_us


def _touches(reached: TimeRange, session: SessionEvent) -> bool:
    return reached.touches(session.started_at_us, _end_us(session))


def _end_us(session: SessionEvent) -> int:
    return _RUNNING_US if session.ended_at_us is None else session.ended_at_us
