"""Sessions: where they begin and end, and what their summary counts."""

from math import isnan

import numpy as np
import pytest

from fleetpulse.effects import Effects, SessionEvent
from fleetpulse.engine import Engine
from fleetpulse.profile import AlertRule, Profile, SessionSpec, WindowSpec
from fleetpulse.telemetry_pb2 import Assignment, Control
from fleetpulse.wire import encode_block
from tests.core.logs import T0_US, Log, feed, fresh_engine, reborn

SPEC = SessionSpec(channel="a", above=1, gap_s=3)
PUMP = Profile(
    name="pump", channels=("a", "b"), rate_hz=2, lateness_ms=0, past_bound_s=1e6,
    future_bound_s=3600, window=WindowSpec(size=2, hop=2, aligned=True),
    alert=AlertRule(threshold=0.5), model="any@1", offline_after_s=5, session=SPEC,
)  # fmt: skip


class Machine:
    """One device at 2 Hz; after each record the engine restarts, if it is `fragile`."""

    def __init__(self, *, fragile: bool = False, profile: Profile = PUMP) -> None:
        self.log = Log()
        self.log.profile(profile)
        self.profile = profile
        self._fragile = fragile

    def sends(self, second: float, *values: float) -> None:
        """Values of channel a, one per half second; channel b has ten times as much."""
        samples = np.array([[value, 10 * value] for value in values], np.float32)
        block = encode_block(
            samples, t0_us=T0_US + round(second * 1e6), period_ns=self.profile.period_ns
        )
        self.log.device("m", block, T0_US + round(second * 1e6))

    def ticks(self, first_s: int, last_s: int) -> None:
        for second in range(first_s, last_s + 1):
            self.log.tick(T0_US + second * 1_000_000)

    def events(self) -> list[SessionEvent]:
        engine: Engine = fresh_engine()
        effects = Effects()
        step = 1 if self._fragile else len(self.log.keys)
        for at in range(0, len(self.log.keys), step):
            effects.extend(feed(engine, self.log.batch(at, min(at + step, len(self.log.keys)))))
            engine = reborn(engine) if self._fragile else engine
        return effects.sessions

    def spans(self) -> list[tuple[str, float, float | None]]:
        """Kind, start and end in seconds."""
        return [
            (
                e.kind,
                (e.started_at_us - T0_US) / 1e6,
                None if e.ended_at_us is None else (e.ended_at_us - T0_US) / 1e6,
            )
            for e in self.events()
        ]


@pytest.fixture(params=[False, True], ids=["one batch", "a restart after each record"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return Machine(fragile=request.param)


def test_a_session_spans_the_active_seconds_and_what_lies_between(machine: Machine) -> None:
    machine.sends(0, 0, 0, 0, 2, 5, 0, 0, 0, 3, 3, *[0] * 8)
    assert machine.spans() == [("started", 1, None), ("ended", 1, 5)]


def test_the_last_second_of_the_gap_goes_on_with_it(machine: Machine) -> None:
    machine.sends(0, 0, 0, 2, 2, 0, 0, 0, 0, 2, 2, *[0] * 8)
    assert machine.spans() == [("started", 1, None), ("ended", 1, 5)]


def test_the_second_after_the_gap_begins_another(machine: Machine) -> None:
    machine.sends(0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 2, 2)
    assert machine.spans() == [("started", 1, None), ("ended", 1, 2), ("started", 5, None)]


def test_it_ends_as_soon_as_the_gap_is_settled(machine: Machine) -> None:
    machine.sends(0, 2, 2, *[0] * 5)
    assert machine.spans() == [("started", 0, None)], "half a second of the gap is not there yet"
    machine.sends(3.5, 0)
    assert machine.spans() == [("started", 0, None), ("ended", 0, 1)]


def test_activity_after_the_gap_is_another_session(machine: Machine) -> None:
    machine.sends(0, 2, 2)
    machine.sends(4, 2, 2)
    machine.sends(30, 2, 2)
    kinds = machine.spans()
    assert kinds == [
        ("started", 0, None), ("ended", 0, 1),
        ("started", 4, None), ("ended", 4, 5),
        ("started", 30, None),
    ]  # fmt: skip
    assert len({event.session_id for event in machine.events()}) == 3


def test_the_level_itself_is_not_above_it(machine: Machine) -> None:
    machine.sends(0, 1, 1, 1, 1)
    assert machine.spans() == []


def test_the_summary_counts_what_lies_between_but_not_the_rest(machine: Machine) -> None:
    machine.sends(0, 0, 0, 2, 4, 0, 0, 6, 8, *[0] * 6)
    summary = machine.events()[-1].summary
    assert summary is not None
    assert summary.channels == ("a", "b")
    assert summary.count == (6, 6)
    assert (summary.min, summary.max) == ((0, 0), (8, 80))
    assert summary.mean == pytest.approx((20 / 6, 200 / 6))
    assert summary.std[0] == pytest.approx(float(np.std([2, 4, 0, 0, 6, 8])))
    assert (summary.score_count, summary.score_over) == (3, 2)


def test_what_was_not_scored_has_no_score() -> None:
    machine = Machine(profile=PUMP.model_copy(update={"window": WindowSpec(size=60, hop=60)}))
    machine.sends(0, 2, 2, *[0] * 6)
    summary = machine.events()[-1].summary
    assert summary is not None
    assert summary.score_count == 0
    assert isnan(summary.score_mean)


def test_a_silent_device_ends_its_session_at_its_last_active_second(machine: Machine) -> None:
    machine.ticks(0, 0)
    machine.sends(0, 2, 2, 0, 0)
    machine.ticks(1, 9)
    assert machine.spans() == [("started", 0, None), ("ended", 0, 1)]


def test_seconds_that_settle_after_a_silence_are_another_session(machine: Machine) -> None:
    machine.ticks(0, 0)
    machine.sends(0, 2, 2, 2)
    machine.ticks(1, 9)
    machine.sends(1.5, 2, 2, 2)
    assert machine.spans() == [("started", 0, None), ("ended", 0, 1), ("started", 1, None)]


def test_another_profile_ends_it(machine: Machine) -> None:
    machine.sends(0, 2, 2, 2)
    newer = PUMP.model_copy(update={"revision": 2})
    machine.log.control(Control(id="newer", profile_yaml=newer.to_yaml()))
    machine.log.control(Control(id="take", assignment=Assignment(profile="pump")))
    assert machine.spans() == [("started", 0, None), ("ended", 0, 1)]


def test_a_profile_without_sessions_has_none() -> None:
    machine = Machine(profile=PUMP.model_copy(update={"session": None}))
    machine.sends(0, 2, 2, *[0] * 10)
    assert machine.spans() == []
