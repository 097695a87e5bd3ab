"""Of whom a control record may change the profile, without asking all rules about all devices."""

from hypothesis import given
from hypothesis import strategies as st

from fleetpulse.control import ControlState, matching, may_differ
from fleetpulse.identity import DeviceKey
from fleetpulse.profile import AlertRule, Profile
from fleetpulse.telemetry_pb2 import Assignment, Control

KEYS = [
    DeviceKey(tenant, device).encode()
    for tenant in ("a", "b.c")
    for device in ("p1", "p2", "q.1", "qx1")
]
PATTERNS = st.sampled_from(["", "*", "p*", "?1", "q.1", "q[.]1", "[!p]*", "[é]*", "nobody"])


def profile(name: str, revision: int) -> Profile:
    alert = AlertRule(threshold=1)
    return Profile(name=name, revision=revision, channels=("v",), rate_hz=10, alert=alert)


@st.composite
def controls(draw: st.DrawFn) -> list[Control]:
    found = []
    for number in range(draw(st.integers(1, 12))):
        if number == 0 or draw(st.integers(0, 3)) == 0:
            name = draw(st.sampled_from(["x", "y"])) if number else "x"
            text = profile(name, draw(st.integers(1, 3))).to_yaml()
            found.append(Control(id=str(number), profile_yaml=text))
            continue
        assignment = Assignment(
            tenant=draw(st.sampled_from(["", "*", "a", "b.c"])),
            device_pattern=draw(PATTERNS),
            profile=draw(st.sampled_from(["x", "y"])),
            profile_revision=draw(st.sampled_from([0, 0, 1, 2])),
        )
        found.append(Control(id=str(number), assignment=assignment))
    return found


@given(records=controls())
def test_nobody_else_s_profile_changes(records: list[Control]) -> None:
    state = ControlState()
    for record in records:
        before, was = state.resolved(), [state.profile_of(key) for key in KEYS]
        state, _ = state.applied(record.SerializeToString())
        named = matching(may_differ(before, state.resolved()), KEYS)
        for key, former, is_named in zip(KEYS, was, named, strict=True):
            assert is_named or state.profile_of(key) == former, key


def test_a_rule_for_others_names_nobody_of_a_large_fleet() -> None:
    state = ControlState()
    state.apply(Control(id="p", profile_yaml=profile("x", 1).to_yaml()).SerializeToString())
    before = state.resolved()
    for number in range(3):
        before = state.resolved()
        assignment = Assignment(device_pattern=f"n{number}-*", profile="x")
        state.apply(Control(id=str(number), assignment=assignment).SerializeToString())
    changed = may_differ(before, state.resolved())
    keys = [b"t/n0-1", b"t/n1-1", b"t/n2-1", b"t/n22-1"]
    assert matching(changed, keys) == [False, False, True, False]
    assert matching(may_differ(before, before), keys) == [False] * 4
