"""Configuration that travels in the log: what a control changes, and what it cannot."""

import json

import pytest

from fleetpulse.control import SEEN_MAX, ControlState
from fleetpulse.effects import Effects, Reason
from fleetpulse.errors import Refused
from fleetpulse.identity import DeviceKey
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.telemetry_pb2 import Assignment, Control, Savepoint
from tests.core.logs import T0_US, Log, feed, frame, fresh_engine


def pump(revision: int = 1, **changes: object) -> Profile:
    fields: dict[str, object] = {
        "name": "pump", "revision": revision, "channels": ("a", "b"), "rate_hz": 50,
        "window": WindowSpec(size=10, hop=10, aligned=True), "model": "any@1",
        "alert": AlertRule(threshold=0.01, raise_after=1, dedup_s=0),
    }  # fmt: skip
    return Profile(**fields | changes)  # type: ignore[arg-type]


def known(*profiles: Profile) -> ControlState:
    state = ControlState()
    for profile in profiles:
        state.apply(made(profile.ref, profile_yaml=profile.to_yaml()))
    return state


def made(id: str, **change: object) -> bytes:
    return Control(id=id, **change).SerializeToString()  # type: ignore[arg-type]


def assign(state: ControlState, profile: str, *, pattern: str = "", tenant: str = "",
           revision: int = 0) -> bool:  # fmt: skip
    rule = Assignment(
        tenant=tenant, device_pattern=pattern, profile=profile, profile_revision=revision
    )
    return state.apply(made(f"{rule}", assignment=rule)) is not None


def chosen(state: ControlState, device: str, tenant: str = "default") -> str | None:
    profile = state.profile_of(DeviceKey(tenant, device).encode())
    return profile.ref if profile else None


def test_the_newest_match_wins() -> None:
    state = known(pump(), pump(name="fan"))
    assign(state, "pump")
    assign(state, "fan", pattern="fan-*")
    assert [chosen(state, d) for d in ("pump-1", "fan-1", "Fan-1")] == ["pump@1", "fan@1", "pump@1"]
    assign(state, "pump", pattern="fan-[12]")
    assert [chosen(state, d) for d in ("fan-1", "fan-3")] == ["pump@1", "fan@1"]


def test_an_assignment_holds_for_its_tenant() -> None:
    state = known(pump(), pump(name="fan"))
    assign(state, "pump", tenant="*")
    assign(state, "fan", tenant="acme")
    assert chosen(state, "d", "acme") == "fan@1"
    assert chosen(state, "d") == "pump@1"
    assert chosen(known(pump()), "d") is None, "nothing is assigned"


def test_revision_0_is_the_newest_known() -> None:
    state = known(pump(2), pump(1))
    assign(state, "pump")
    assert chosen(state, "d") == "pump@2"
    state.apply(made("later", profile_yaml=pump(3).to_yaml()))
    assert chosen(state, "d") == "pump@3"
    assign(state, "pump", pattern="old", revision=1)
    assert chosen(state, "old") == "pump@1"


def test_a_control_seen_before_changes_nothing() -> None:
    state = known(pump(), pump(name="fan"))
    first = Assignment(profile="pump")
    assert state.apply(made("x", assignment=first))
    assert state.apply(made("x", assignment=Assignment(profile="fan"))) is None
    assert chosen(state, "d") == "pump@1"


def test_ids_of_acts_are_remembered_up_to_a_bound() -> None:
    state = known(pump())
    for number in range(SEEN_MAX):
        state.seen[f"n{number}"] = None
    state.apply(made("one more", savepoint=Savepoint(name="monday")))
    assert len(state.seen) == SEEN_MAX
    assert "n0" not in state.seen, "the oldest is forgotten"


@pytest.mark.parametrize("former", [False, True], ids=["", "read from a former release's export"])
def test_what_lasts_is_never_taken_twice(former: bool) -> None:
    state = known(pump(), pump(name="fan"))
    everyone = made("everyone", assignment=Assignment(profile="pump"))
    fans = made("fans", assignment=Assignment(profile="fan", device_pattern="fan-*"))
    assert state.apply(everyone)
    assert state.apply(fans)
    if former:
        exported = state.export()
        exported["seen"] = [*state.seen, *exported.pop("lasting")]  # type: ignore[misc]
        state = ControlState.load(exported)
    for start in range(3):
        assert state.apply(everyone) is None, "the start repeats what was published before"
        assert state.apply(fans) is None
        for number in range(SEEN_MAX):
            state.apply(made(f"{start}-{number}", savepoint=Savepoint(name="hourly")))
    assert chosen(state, "fan-1") == "fan@1"


GOOD = pump().to_yaml()


@pytest.mark.parametrize(
    "control",
    [
        b"\xff",
        made("", profile_yaml=GOOD),
        made("x"),
        made("x", assignment=Assignment(profile="nobody")),
        made("x", assignment=Assignment(profile="pump", profile_revision=9)),
        made("x", profile_yaml=pump(lateness_ms=1).to_yaml()),
        made("x", profile_yaml=""),
        made("x", profile_yaml=GOOD + "more: 1"),
        made("x", profile_yaml=GOOD.replace("- a\n", "")),
        made("x", profile_yaml="[" * 2000),
        made("x", profile_yaml="name: 2021-13-45"),
        made("x", profile_yaml="revision: !!int x"),
        made("x", profile_yaml="a: !!bool maybe"),
        made("x", profile_yaml=GOOD + "#" * 70_000),
    ],
    ids=["no control", "no id", "no change", "unknown profile", "unknown revision",
         "known revision with other content", "no text", "an unknown field",
         "another known revision's channels", "too deep", "no date", "no number", "no boolean",
         "too long"],
)  # fmt: skip
def test_a_control_that_cannot_be_used_changes_nothing(control: bytes) -> None:
    state = known(pump())
    assign(state, "pump")
    before = state.export()
    with pytest.raises(Refused):
        state.apply(control)
    assert state.export() == before


def test_a_bad_control_goes_to_the_dead_letters() -> None:
    log = Log()
    log.profile(pump())
    log.control(Control(id="x", profile_yaml="nonsense"))
    log.device("pump-1", frame(pump(), 1, 0, 10), T0_US)
    effects = feed(fresh_engine(), log.batch())
    assert [(r.partition, r.reason) for r in effects.dead] == [
        (0, Reason.BAD_CONTROL), (1, Reason.BAD_CONTROL),
    ]  # fmt: skip
    assert len(effects.scores) == 1, "the device goes on"


def test_state_survives_as_json() -> None:
    state = known(pump(), pump(2, model=None, rate_hz=1 / 3))
    assign(state, "pump", pattern="pump-*", tenant="acme", revision=1)
    again = ControlState.load(json.loads(json.dumps(state.export())))
    assert again == state


def life(*, switch_to: Profile, pattern: str = "*") -> Effects:
    """A pump that alerts under its first profile, gets another one, and goes on."""
    log = Log()
    log.profile(pump())
    log.device("pump-1", frame(pump(), 1, 0, 15), T0_US)
    log.profile(switch_to, pattern)
    log.device("pump-1", frame(pump(), 1, 15, 15), T0_US)
    return feed(fresh_engine(), log.batch())


def test_another_profile_ends_the_device_and_its_alert() -> None:
    effects = life(switch_to=pump(2))
    assert [(seen.device_id, seen.profile) for seen in effects.devices] == [
        ("pump-1", "pump@1"), ("pump-1", "pump@2"),
    ]  # fmt: skip
    (raised, cleared, again) = effects.alerts
    assert [raised.kind, cleared.kind, again.kind] == ["raised", "cleared", "raised"]
    assert cleared.alert_id == raised.alert_id
    assert cleared.at_us == raised.at_us, "cleared at its last scored window"
    assert again.profile == "pump@2"
    ends = [(int(e) - T0_US) // 20_000 for rows in effects.scores for e in rows.window_end_us]
    assert ends == [10, 30], "the window of slots 10 to 19 was open and is dropped"


@pytest.mark.parametrize(
    ("switch_to", "pattern"), [(pump(), "pump-1"), (pump(2), "fan-*")],
    ids=["the same profile again", "other devices"],
)  # fmt: skip
def test_a_change_that_does_not_concern_the_device_leaves_it_alone(
    switch_to: Profile, pattern: str
) -> None:
    effects = life(switch_to=switch_to, pattern=pattern)
    assert len(effects.devices) == 1
    assert [alert.kind for alert in effects.alerts] == ["raised"]
    assert sum(len(rows.scores) for rows in effects.scores) == 3
