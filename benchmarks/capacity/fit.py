"""Constants from what `bench scale` measured, and how well they foretell what it held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.capacity.constants import ROLES, Constants
from benchmarks.capacity.model import FleetSize, capacity
from benchmarks.scale.shape import BASE

ERROR_MAX: Final = 0.2
Point = Mapping[str, Any]
"""A load of the report of `bench scale`."""


@dataclass(frozen=True, slots=True)
class Foretold:
    """A held-out load: busy cores of the whole stack, memory in MB, log in KB/s."""

    load: str
    quantity: str
    measured: float
    expected: float

    @property
    def error(self) -> float:
        """Of what was expected, as a share of what was measured."""
        return self.expected / self.measured - 1


def fitted(old: Constants, report: Mapping[str, Any]) -> Constants:
    """Those that the report measured replace the old ones."""
    new = old
    if loads := report.get("fit"):
        new = _from_loads(new, loads)
        new = _from_quiet(new, report["idle"][0], report["slow"][0])
    if points := report.get("core", {}).get("channels"):
        new = _from_channels(new, points)
    return new


def foretell(constants: Constants, points: Sequence[Point]) -> list[Foretold]:
    """Each held-out load beside what the model says of it."""
    found = []
    for point in points:
        fleet = FleetSize(
            devices=point["devices"],
            rate_hz=point["rate_hz"],
            frame_samples=point["frame_samples"],
            lateness_s=0.0,
            kafka_retention_h=1 / 3600,
        )
        said = capacity(fleet, constants, shards=point["shards"])
        load = f"{fleet.samples_per_s:,.0f} samples/s in frames of {fleet.frame_samples}"
        cores = sum(_by_role(point["cpu_s"]).values()) / point["seconds"]
        memory_mb = sum(_by_role(point["rss_mb"]).values())
        log = sum(point["topic_bytes"].values()) / point["seconds"] / 1000
        expected_log = _log_bytes(fleet, constants) / 1000
        found += [
            Foretold(load, "busy cores", round(cores, 3), round(sum(said.cpu.values()), 3)),
            Foretold(load, "memory MB", memory_mb, round(sum(said.memory_gb.values()) * 1024)),
            Foretold(load, "log kB/s", round(log), round(expected_log)),
        ]
    return found


def _log_bytes(fleet: FleetSize, constants: Constants) -> float:
    """Per second."""
    return (
        fleet.records_per_s * constants.record_bytes
        + fleet.samples_per_s * fleet.channels * constants.value_bytes
        + fleet.samples_per_s / fleet.hop * constants.score_bytes
        + fleet.device_seconds_per_s * constants.second_bytes
    )


def _from_loads(old: Constants, loads: Sequence[Point]) -> Constants:
    rates = np.array([[1.0, _per_s(p, "records"), _per_s(p, "samples")] for p in loads])
    spent = [_by_role(point["cpu_s"]) for point in loads]
    base, record, sample = {}, {}, {}
    for role in ROLES:
        used_us = [each[role] / p["seconds"] * 1e6 for each, p in zip(spent, loads, strict=True)]
        base[role], record[role], sample[role] = non_negative(rates, np.array(used_us))
    shards = loads[0]["shards"]
    shard_base = base["shard"] / shards
    base["shard"] = 0.0
    values = [[p["records"], p["samples"] * old.channels] for p in loads]
    log = [p["topic_bytes"]["telemetry"] for p in loads]
    record_bytes, value_bytes = non_negative(np.array(values, float), np.array(log, float))
    windows = sum(p["windows"] for p in loads)
    return replace(
        old,
        shard_base_us=round(shard_base, 1),
        base_us=_rounded(base),
        record_us=_rounded(record),
        sample_us=_rounded(sample),
        record_bytes=round(record_bytes, 1),
        value_bytes=round(value_bytes, 3),
        score_bytes=round(sum(p["topic_bytes"]["scores"] for p in loads) / windows, 1),
    )


def _from_quiet(old: Constants, idle: Point, slow: Point) -> Constants:
    """Memory of an idle stack; what a message of a slow device, in or out, adds to its CPU."""
    before, after = (_by_role(point["cpu_s"]) for point in (idle, slow))
    messages = _per_s(slow, "records") + _per_s(slow, "device_seconds")
    second_us = {
        role: max(0.0, after[role] / slow["seconds"] - before[role] / idle["seconds"])
        / messages
        * 1e6
        for role in ROLES
    }
    base_mb = _by_role(slow["rss_mb"])
    base_mb["shard"] /= slow["shards"]
    return replace(
        old,
        second_us=_rounded(second_us),
        base_mb=_rounded(base_mb),
        second_bytes=round(slow["topic_bytes"]["aggregates.second"] / slow["device_seconds"], 1),
    )


def _from_channels(old: Constants, points: Sequence[Point]) -> Constants:
    """Straight lines: CPU by the values of a sample, bytes of a device by its channels."""
    channels = np.array([p["value"] for p in points])
    ones = np.ones(len(points))
    cpu_us = np.array([p["cpu_s_per_million"] for p in points])
    size = np.array([p["bytes_per_device"] for p in points], float)
    ring = 4 * (BASE.window + 2 * BASE.profile.block_samples_max)
    _, value_us = non_negative(np.stack([ones, channels], 1), cpu_us)
    device, per_channel = non_negative(np.stack([ones, channels], 1), size)
    return replace(
        old,
        value_us=round(value_us, 5),
        device_bytes=round(device),
        channel_bytes=round(per_channel - ring),
    )


def non_negative(columns: NDArray[np.float64], target: NDArray[np.float64]) -> list[float]:
    """Least squares of relative errors; what would be below zero is zero."""
    weights = 1 / np.maximum(target, 1e-9)
    used = list(range(columns.shape[1]))
    while used:
        found, *_ = np.linalg.lstsq(columns[:, used] * weights[:, None], target * weights)
        if (found >= 0).all():
            answer = np.zeros(columns.shape[1])
            answer[used] = found
            return [float(value) for value in answer]
        del used[int(found.argmin())]
    return [0.0] * columns.shape[1]


def _by_role(used: Mapping[str, float]) -> dict[str, float]:
    summed = dict.fromkeys(ROLES, 0.0)
    for role, amount in used.items():
        summed[role if role in ROLES else "other"] += amount
    return summed


def _per_s(point: Point, count: str) -> float:
    return float(point[count] / point["seconds"])


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {role: round(value, 3) for role, value in values.items()}
