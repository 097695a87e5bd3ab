"""Profiles say exactly which of their fields is wrong, and cannot exhaust a shard."""

import pytest
import yaml

from fleetpulse.errors import ConfigError
from fleetpulse.layout import Layout
from fleetpulse.profile import RING_VALUES_MAX, AlertRule, Profile, WindowSpec, profile_from_yaml

GOOD = {"name": "pump", "channels": ["x", "y"], "rate_hz": 200, "alert": {"threshold": 3}}


def parse(**changes: object) -> Profile:
    return profile_from_yaml(yaml.safe_dump(GOOD | changes), source="pump.yaml")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../pump"),
        ("name", "pump\n"),
        ("revision", 0),
        ("revision", 1 << 31),
        ("channels", []),
        ("channels", ["x", "x"]),
        ("channels", [""]),
        ("channels", ["a\0"]),
        ("channels", ["x" * 129]),
        ("channels", [f"c{i}" for i in range(65)]),
        ("channels", {"x", "y"}),
        ("channels", "xy"),
        ("rate_hz", 0),
        ("rate_hz", 1e-300),
        ("rate_hz", 1e9),
        ("rate_hz", float("nan")),
        ("lateness_ms", -1),
        ("past_bound_s", float("inf")),
        ("past_bound_s", 1e30),
        ("future_bound_s", 0),
        ("block_samples_max", 0),
        ("window.size", 0),
        ("window.coverage_min", 0),
        ("window.coverage_min", 1.1),
        ("zscore.warmup_windows", 1),
        ("zscore.half_life_windows", 0),
        ("alert.threshold", 0),
        ("alert.threshold", float("inf")),
        ("alert.clear_ratio", 1.5),
        ("alert.dedup_s", 1e308),
        ("alert.raise_after", "soon"),
        ("model", "latest"),
        ("windw", 1),
    ],
)
def test_an_error_names_the_file_and_the_field(field: str, value: object) -> None:
    group, _, inner = field.rpartition(".")
    threshold = {"threshold": 3} if group == "alert" else {}
    changes = {group: threshold | {inner: value}} if group else {field: value}
    with pytest.raises(ConfigError, match=rf"^pump\.yaml: {field}\b"):
        parse(**changes)


def test_a_hop_is_within_its_window() -> None:
    with pytest.raises(ConfigError, match=r"window\.hop must not exceed window\.size"):
        parse(window={"size": 10, "hop": 11})


@pytest.mark.parametrize(
    "changes",
    [
        {"rate_hz": 20_000, "lateness_ms": 3_600_000},
        {"channels": [f"c{i}" for i in range(64)], "block_samples_max": 65_536},
    ],
)
def test_a_device_cannot_take_unbounded_memory(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"at most {RING_VALUES_MAX} values are kept"):
        parse(**changes)


@pytest.mark.parametrize("text", ["", "- 1", "a: b: c", "\0", "'"])
def test_what_is_no_profile_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^pump\.yaml: "):
        profile_from_yaml(text, source="pump.yaml")


def test_a_profile_survives_its_yaml() -> None:
    profile = parse(rate_hz=1 / 300, window={"size": 3, "hop": 2, "aligned": True}, model="m@1")
    assert profile_from_yaml(profile.to_yaml()) == profile
    assert "clear_ratio" in profile.to_yaml(), "every default is explicit in the log"
    assert (profile.ref, profile.scorer, parse().scorer) == ("pump@1", "m@1", "zscore@1")


@pytest.mark.parametrize(
    ("rate_hz", "period_ns", "lateness", "second"),
    [
        (1000, 1_000_000, 250, 1000),
        (3, 333_333_333, 1, 4),
        (1, 1_000_000_000, 1, 1),
        (0.4, 2_500_000_000, 1, 1),
        (1 / 300, 300_000_000_000, 1, 1),
    ],
)
def test_slots(rate_hz: float, period_ns: int, lateness: int, second: int) -> None:
    profile = parse(rate_hz=rate_hz, lateness_ms=250, window={"size": 64, "hop": 64})
    layout = Layout.of(profile)
    assert (layout.period_ns, layout.lateness, layout.second) == (period_ns, lateness, second)
    assert layout.ring == max(64, second) + lateness + 2 * profile.block_samples_max


def test_defaults_hold_together() -> None:
    profile = Profile(name="p", channels=("x",), rate_hz=200, alert=AlertRule(threshold=1))
    assert profile.window == WindowSpec(size=256, hop=128)
    assert profile.lateness_slots == 0
