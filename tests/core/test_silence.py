"""Offline and online: once per silence, in time that somebody attended."""

import pytest

from fleetpulse.effects import Effects
from fleetpulse.engine import Engine
from fleetpulse.profile import AlertRule, Profile
from fleetpulse.telemetry_pb2 import Assignment, Control, Forget, Pause
from tests.core.logs import T0_US, Log, feed, frame, fresh_engine, reborn

PUMP = Profile(
    name="pump", channels=("a",), rate_hz=10, past_bound_s=1e6, alert=AlertRule(threshold=1),
    offline_after_s=10,
)  # fmt: skip


class Story:
    """A log told second by second; the engine restarts after each record if it is `fragile`."""

    def __init__(self, *, fragile: bool = False, profile: Profile = PUMP) -> None:
        self.log = Log()
        self.log.profile(profile)
        self.now_s = 0.0
        self.engine: Engine = fresh_engine()
        self.effects = Effects()
        self._fragile = fragile
        self._read = 0

    def ticks(self, count: int, *, every_s: float = 1.0) -> None:
        for _ in range(count):
            self.now_s += every_s
            self.log.tick(T0_US + round(self.now_s * 1e6))

    def hears(self, device: str = "p", value: bytes | None = None) -> None:
        first = round(self.now_s * 10)
        value = frame(PUMP, 0, first, 1) if value is None else value
        self.log.device(device, value, T0_US + round(self.now_s * 1e6))

    def control(self, name: str, **change: object) -> None:
        control = Control(id=name, **change)  # type: ignore[arg-type]
        self.log.control(control, T0_US + round(self.now_s * 1e6))

    def events(self, device: str = "p") -> list[tuple[str, float, float]]:
        """Kind, when and when it was last heard, in seconds."""
        end = len(self.log.keys)
        step = 1 if self._fragile else end
        while self._read < end:
            self.effects.extend(feed(self.engine, self.log.batch(self._read, self._read + step)))
            self._read = min(self._read + step, end)
            if self._fragile:
                self.engine = reborn(self.engine)
        return [
            (e.kind, (e.at_us - T0_US) / 1e6, (e.heard_us - T0_US) / 1e6)
            for e in self.effects.presences
            if e.device_id == device
        ]


@pytest.fixture(params=[False, True], ids=["one batch", "a restart after each record"])
def story(request: pytest.FixtureRequest) -> Story:
    return Story(fragile=request.param)


def test_a_silence_is_one_offline_and_one_online(story: Story) -> None:
    story.ticks(1)
    story.now_s += 0.5
    story.hears()
    story.ticks(30)
    story.hears()
    story.hears()
    story.ticks(5)
    assert story.events() == [("offline", 11.5, 1.5), ("online", 31.5, 1.5)]


def test_each_silence_ends_at_its_own_tick(story: Story) -> None:
    story.ticks(1)
    for second in range(1, 9):
        story.hears(f"p{second}")
        story.ticks(1)
    story.ticks(12)
    for second in range(1, 9):
        assert story.events(f"p{second}") == [("offline", second + 10, second)]


def test_a_device_that_is_heard_in_time_stays_online(story: Story) -> None:
    for _ in range(5):
        story.hears()
        story.ticks(9)
    assert story.events() == []


def test_a_neighbours_records_are_no_sign_of_life(story: Story) -> None:
    story.ticks(1)
    story.hears("p")
    for _ in range(12):
        story.ticks(1)
        story.hears("q")
    assert [kind for kind, *_ in story.events("p")] == ["offline"]
    assert story.events("q") == []


def test_time_that_nobody_attended_is_no_silence(story: Story) -> None:
    story.ticks(1)
    story.hears()
    story.ticks(1, every_s=3600)
    story.ticks(7)
    assert story.events() == [], "an outage counts as two seconds at most"
    story.ticks(1)
    assert [kind for kind, *_ in story.events()] == ["offline"]


def test_without_ticks_nothing_happens(story: Story) -> None:
    story.ticks(1)
    story.hears("p")
    for _ in range(20):
        story.now_s += 1
        story.hears("q")
    assert story.events("p") == []


def test_a_refused_record_is_no_sign_of_life(story: Story) -> None:
    story.ticks(1)
    story.hears()
    for _ in range(12):
        story.ticks(1)
        story.hears(value=b"garbage")
    story.hears()
    assert [kind for kind, *_ in story.events()] == ["offline", "online"]


def test_a_device_that_never_was_heard_is_not_silent(story: Story) -> None:
    story.ticks(1)
    story.hears(value=b"garbage")
    story.ticks(40)
    assert story.events() == []


def test_a_paused_device_is_not_silent_until_it_may_speak(story: Story) -> None:
    story.ticks(1)
    story.hears()
    story.control("stop", pause=Pause(device_pattern="p", paused=True))
    story.ticks(40)
    story.control("go", pause=Pause(device_pattern="p", paused=False))
    story.ticks(9)
    assert story.events() == []
    story.ticks(1)
    assert story.events() == [("offline", 51.0, 1.0)]


def test_whoever_is_offline_already_does_not_go_offline_after_a_pause(story: Story) -> None:
    story.ticks(1)
    story.hears()
    story.ticks(12)
    story.control("stop", pause=Pause(device_pattern="p", paused=True))
    story.control("go", pause=Pause(device_pattern="p", paused=False))
    story.ticks(20)
    assert story.events() == [("offline", 11.0, 1.0)]


def test_an_outage_counts_as_two_seconds_exactly(story: Story) -> None:
    story.ticks(1)
    story.hears()
    story.ticks(1, every_s=3600)
    story.ticks(7, every_s=1.0)
    story.ticks(1, every_s=0.999999)
    assert story.events() == [], "a microsecond is missing"


def test_a_silence_lasts_beyond_a_change_of_profile(story: Story) -> None:
    story.ticks(1)
    story.hears()
    story.ticks(12)
    newer = PUMP.model_copy(update={"revision": 2})
    story.control("newer", profile_yaml=newer.to_yaml())
    story.control("take it", assignment=Assignment(device_pattern="p", profile="pump"))
    story.ticks(5)
    story.hears()
    assert story.events() == [("offline", 11.0, 1.0), ("online", 18.0, 1.0)]


def test_a_deleted_device_has_no_past(story: Story) -> None:
    story.ticks(1)
    story.hears()
    story.ticks(12)
    story.control("gone", forget=Forget(tenant="default", device_id="p"))
    story.hears()
    assert [kind for kind, *_ in story.events()] == ["offline"]


def test_deleting_a_device_between_two_profiles_forgets_its_silence(story: Story) -> None:
    story.ticks(1)
    story.hears()
    story.ticks(12)
    newer = PUMP.model_copy(update={"revision": 2})
    story.control("newer", profile_yaml=newer.to_yaml())
    story.control("take it", assignment=Assignment(device_pattern="p", profile="pump"))
    story.control("gone", forget=Forget(tenant="default", device_id="p"))
    story.hears()
    assert [kind for kind, *_ in story.events()] == ["offline"]


@pytest.mark.parametrize(
    ("changes", "after_s"),
    [
        ({"offline_after_s": 0}, None),
        ({"offline_after_s": None}, 30),
        ({"offline_after_s": None, "rate_hz": 0.05}, 60),
        ({"offline_after_s": 5}, 5),
    ],
)
def test_the_profile_says_how_long_a_silence_must_be(
    changes: dict[str, object], after_s: int | None
) -> None:
    story = Story(profile=Profile(**PUMP.model_dump() | changes))
    story.ticks(1)
    story.hears()
    story.ticks((after_s or 1000) - 1)
    assert story.events() == []
    story.ticks(1)
    assert [kind for kind, *_ in story.events()] == (["offline"] if after_s else [])
