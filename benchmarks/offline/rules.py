"""The rules of one profile revision, from the YAML of its control record."""

import math
from dataclasses import dataclass
from typing import Any

import yaml

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything a computation needs to know of a profile. Every field is explicit in the YAML."""

    name: str
    revision: int
    channels: tuple[str, ...]
    period_ns: int
    lateness_slots: int
    ring_slots: int
    past_bound_us: int
    future_bound_us: int
    block_samples_max: int
    sample_cost_ns: int
    """Log time that a sample uses up; 0: none, there is no limit."""
    burst_ns: int
    """Log time that a device may have used up ahead."""
    window_size: int
    window_hop: int
    coverage_min: float
    aligned: bool
    model: str | None
    half_life_windows: float
    warmup_windows: int
    deviation_floor: float
    threshold: float
    raise_after: int
    clear_ratio: float
    clear_after: int
    dedup_us: int
    offline_after_us: int
    """0: never."""
    session_channel: str | None
    session_above: float
    session_gap_s: int

    @property
    def ref(self) -> str:
        """`name@revision`."""
        return f"{self.name}@{self.revision}"


def rules_of(text: str) -> Rules:
    """Parse the YAML of a `profile_yaml` control."""
    doc: dict[str, Any] = yaml.safe_load(text)
    window, zscore, alert = doc["window"], doc["zscore"], doc["alert"]
    period_ns = round(SECOND_NS / doc["rate_hz"])
    lateness_slots = -(-doc["lateness_ms"] * 1_000_000 // period_ns)
    second_slots = max(1, -(-SECOND_NS // period_ns))
    limit = doc["rate_limit"]
    sample_cost_ns = max(1, round(period_ns / limit["factor"])) if limit else 0
    burst_samples = math.ceil(limit["burst_s"] * 1e9 / period_ns) if limit else 0
    longest = max(window["size"], second_slots)
    offline_after_s = doc["offline_after_s"]
    if offline_after_s is None:
        offline_after_us = max(30_000_000, 3 * period_ns // 1000)
    else:
        offline_after_us = round(offline_after_s * 1_000_000)
    session = doc["session"] or {"channel": None, "above": 0.0, "gap_s": 0}
    return Rules(
        name=doc["name"],
        revision=doc["revision"],
        channels=tuple(doc["channels"]),
        period_ns=period_ns,
        lateness_slots=lateness_slots,
        ring_slots=longest + lateness_slots + 2 * doc["block_samples_max"],
        past_bound_us=round(doc["past_bound_s"] * 1_000_000),
        future_bound_us=round(doc["future_bound_s"] * 1_000_000),
        block_samples_max=doc["block_samples_max"],
        sample_cost_ns=sample_cost_ns,
        burst_ns=max(burst_samples, 2 * doc["block_samples_max"]) * sample_cost_ns,
        window_size=window["size"],
        window_hop=window["hop"],
        coverage_min=window["coverage_min"],
        aligned=window["aligned"],
        model=doc["model"],
        half_life_windows=zscore["half_life_windows"],
        warmup_windows=zscore["warmup_windows"],
        deviation_floor=zscore["deviation_floor"],
        threshold=alert["threshold"],
        raise_after=alert["raise_after"],
        clear_ratio=alert["clear_ratio"],
        clear_after=alert["clear_after"],
        dedup_us=round(alert["dedup_s"] * 1_000_000),
        offline_after_us=offline_after_us,
        session_channel=session["channel"],
        session_above=session["above"],
        session_gap_s=session["gap_s"],
    )
