"""The rules of one profile revision, from the YAML of its control record."""

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
    longest = max(window["size"], second_slots)
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
    )
