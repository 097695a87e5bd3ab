"""Constants from what `bench scale` measured, and how well they foretell what it held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.capacity.constants import ROLES, YARDSTICK, Constants
from benchmarks.capacity.model import (
    FleetSize,
    batches_per_s,
    capacity,
    log_bytes_per_s,
    state_bytes,
)
from benchmarks.scale.shape import BASE

ERROR_MAX: Final = 0.2
Point = Mapping[str, Any]
"""A load of the report of `bench scale`."""


@dataclass(frozen=True, slots=True)
class Foretold:
    """A held-out load: busy cores at the machine's pace then, memory in MB, log in kB/s."""

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
        slow = report["slow"][0]
        new = _with_cpu(new, [*loads, slow])
        new = _with_log(new, loads, slow)
        new = _with_memory(new, report["idle"], slow)
    if points := report.get("core", {}).get("channels"):
        new = _from_channels(new, points)
    return new


def foretell(constants: Constants, points: Sequence[Point]) -> list[Foretold]:
    """Each held-out load beside what the model says of it."""
    found = []
    for point in points:
        fleet, partitions = _fleet(point), point["partitions"]
        said = capacity(fleet, constants, shards=point["shards"], partitions=partitions)
        # States of the devices of earlier loads on this stack are still there.
        known = replace(fleet, devices=point["devices_known"])
        needed = capacity(known, constants, shards=point["shards"]).memory_gb
        load = f"{fleet.samples_per_s:,.0f} samples/s in frames of {fleet.frame_samples}"
        cores = sum(_by_role(point["cpu_s"]).values()) / point["seconds"]
        expected_cores = sum(said.cpu.values()) * _pace_us(point) / constants.yardstick_us
        memory_mb = sum(_by_role(point["rss_mb"]).values())
        log = sum(point["topic_bytes"].values()) / point["seconds"] / 1000
        expected_log = log_bytes_per_s(fleet, constants, partitions) / 1000
        found += [
            Foretold(load, "busy cores", round(cores, 3), round(expected_cores, 3)),
            Foretold(load, "memory MB", memory_mb, round(sum(needed.values()) * 1024)),
            Foretold(load, "log kB/s", round(log), round(expected_log)),
        ]
    return found


def _fleet(point: Point) -> FleetSize:
    return FleetSize(
        devices=point["devices"],
        rate_hz=point["rate_hz"],
        frame_samples=point["frame_samples"],
        lateness_s=0.0,
    )


def _with_cpu(old: Constants, loads: Sequence[Point]) -> Constants:
    """By role: least squares over what each load had per second, at the median pace."""
    pace_us = float(np.median([_pace_us(point) for point in loads]))
    spent = [_by_role(point["cpu_s"]) for point in loads]
    found: dict[str, list[float]] = {}
    for role in ROLES:
        used_us = [
            used[role] / point["seconds"] * 1e6 * pace_us / _pace_us(point)
            for used, point in zip(spent, loads, strict=True)
        ]
        # Without a shard there is none of its CPU.
        rows = [(float(role != "shard"), point["shards"], *_counts(point)) for point in loads]
        found[role] = non_negative(np.array(rows), np.array(used_us))
    base, shard, batch, record, sample, second = (
        {role: round(found[role][at], 3) for role in ROLES} for at in range(6)
    )
    return replace(
        old,
        yardstick_us=round(pace_us),
        base_us=base,
        shard_us=shard,
        batch_us=batch,
        record_us=record,
        sample_us=sample,
        second_us=second,
    )


def _pace_us(point: Point) -> float:
    """The machine's: hours differ by a half, and all parts of a stack alike."""
    return float(sum(point["cpu_s"][name] for name in YARDSTICK) / point["seconds"] * 1e6)


def _counts(load: Point) -> tuple[float, ...]:
    """Per second: batches, records, samples, seconds of devices."""
    records = _per_s(load, "records")
    batches = batches_per_s(records, load["partitions"])
    return batches, records, _per_s(load, "samples"), _per_s(load, "device_seconds")


def _with_log(old: Constants, loads: Sequence[Point], slow: Point) -> Constants:
    """Bytes of what is written, compression included."""
    counts = np.array([_counts(p)[:3] for p in loads])
    counts[:, 2] *= old.channels
    written = np.array([p["topic_bytes"]["telemetry"] / p["seconds"] for p in loads])
    batch_bytes, record_bytes, value_bytes = non_negative(counts, written)
    return replace(
        old,
        batch_bytes=round(batch_bytes, 1),
        record_bytes=round(record_bytes, 1),
        value_bytes=round(value_bytes, 3),
        score_bytes=_each("scores", "windows", loads),
        second_bytes=_each("aggregates.second", "device_seconds", loads),
        lone_second_bytes=_each("aggregates.second", "device_seconds", [slow]),
    )


def _with_memory(old: Constants, idle: Sequence[Point], slow: Point) -> Constants:
    """Of stacks before their first device, and of one with all of its devices."""
    used = [_by_role(point["rss_mb"]) for point in idle]
    for each, point in zip(used, idle, strict=True):
        each["shard"] /= point["shards"]
    base_mb = {role: round(sum(each[role] for each in used) / len(used), 1) for role in ROLES}
    states_mb = slow["devices_known"] * state_bytes(_fleet(slow), old) / 2**20
    taken_mb = _by_role(slow["rss_mb"])["shard"] - slow["shards"] * base_mb["shard"]
    return replace(old, base_mb=base_mb, state_copies=round(taken_mb / states_mb, 2))


def _each(topic: str, count: str, loads: Sequence[Point]) -> float:
    """Bytes of one of a topic's records."""
    total = float(sum(p["topic_bytes"][topic] for p in loads))
    counted = float(sum(p[count] for p in loads))
    return round(total / counted, 1)


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
