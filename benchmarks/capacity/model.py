"""From a fleet to cores, memory, partitions and disk. A pure function of fleet and constants."""

import math
from dataclasses import dataclass
from typing import Final

from benchmarks.capacity.constants import ROLES, Constants
from simulator.targets.kafka import LINGER_MS

UTILISATION: Final = 0.7
"""Of a shard's core at the fleet's steady rate: the rest works off what an outage left."""
SHARD_CORES: Final = 1.0
"""Of Python's one interpreter lock."""
PARTITIONS_MIN: Final = 4
PARTITIONS_PER_SHARD: Final = 2
"""So that shards may be doubled later: the number of partitions is fixed."""
LINGER_S: Final = LINGER_MS / 1000
"""Of one producer of all telemetry, as the simulator is; each further one adds batches."""
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class FleetSize:
    """What is to be carried. Defaults are those of the shipped profile and settings.

    active: share of the devices whose state is in memory at a time.
    """

    devices: int
    rate_hz: float
    channels: int = 6
    frame_samples: int = 20
    model_us: float | None = None
    window: int = 256
    hop: int = 128
    lateness_s: float = 2.0
    active: float = 1.0
    kafka_retention_h: float = 24.0
    replication: int = 1
    minute_days: float = 90.0
    hour_days: float = 730.0
    generations: int = 2

    @property
    def samples_per_s(self) -> float:
        """Of the whole fleet."""
        return self.devices * self.rate_hz

    @property
    def records_per_s(self) -> float:
        """Frames."""
        return self.samples_per_s / self.frame_samples

    @property
    def device_seconds_per_s(self) -> float:
        """Seconds of devices that hold a sample."""
        return self.devices * min(1.0, self.rate_hz)

    @property
    def ring_slots(self) -> int:
        """As Profile has them."""
        second = max(1, math.ceil(self.rate_hz))
        late = math.ceil(self.lateness_s * self.rate_hz)
        return max(self.window, second) + late + 2 * max(200, self.frame_samples)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the fleet needs at its steady rate."""

    cpu: dict[str, float]
    """Cores that are busy, by role."""
    shards: int
    partitions: int
    cores: float
    """To have: busy ones at the utilisation that leaves room to catch up."""
    memory_gb: dict[str, float]
    disk_gb: dict[str, float]
    """Kafka (all replicas), PostgreSQL, snapshots."""


def capacity(
    fleet: FleetSize,
    constants: Constants,
    *,
    shards: int | None = None,
    partitions: int | None = None,
) -> Capacity:
    """shards, partitions: so many, instead of as many as are needed."""
    count = shards or _shards(fleet, constants)
    spread = partitions or partitions_of(count)
    busy = {role: _busy(role, fleet, constants, count, spread) for role in ROLES}
    return Capacity(
        cpu={role: round(cores, 3) for role, cores in busy.items()},
        shards=count,
        partitions=spread,
        cores=round(sum(busy.values()) / UTILISATION, 1),
        memory_gb=_memory(fleet, constants, count),
        disk_gb=_disk(fleet, constants, spread),
    )


def partitions_of(shards: int) -> int:
    """Of the telemetry topic."""
    return max(PARTITIONS_MIN, PARTITIONS_PER_SHARD * shards)


def batches_per_s(records_per_s: float, partitions: int) -> float:
    """Of all partitions: one is sent LINGER_S after its first record, and takes in what comes
    meanwhile (arrivals as in a Poisson process). A producer sends a request for each.
    """
    return records_per_s / (1 + records_per_s / partitions * LINGER_S)


def _shards(fleet: FleetSize, constants: Constants) -> int:
    """More shards bring more partitions, hence more batches, and are busier by that: by their own
    price and by 200 batches/s at most, which is far below what a shard may be busy.
    """
    count, needed = 0, 1
    while needed > count:
        count = needed
        busy = _busy("shard", fleet, constants, count, partitions_of(count))
        needed = math.ceil(busy / (UTILISATION * SHARD_CORES))
    return count


def _busy(role: str, fleet: FleetSize, constants: Constants, shards: int, partitions: int) -> float:
    """Cores."""
    per_s = (
        constants.base_us[role]
        + constants.shard_us[role] * shards
        + constants.batch_us[role] * batches_per_s(fleet.records_per_s, partitions)
        + constants.record_us[role] * fleet.records_per_s
        + constants.sample_us[role] * fleet.samples_per_s
        + constants.second_us[role] * fleet.device_seconds_per_s
    )
    if role == "shard":
        per_s += fleet.samples_per_s * _extra_us(fleet, constants)
    return per_s / 1e6


def _extra_us(fleet: FleetSize, constants: Constants) -> float:
    """Per sample, for what is other than in the shipped profile."""
    model_us = constants.model_us if fleet.model_us is None else fleet.model_us
    channels = (fleet.channels - constants.channels) * constants.value_us
    return channels + model_us / fleet.hop - constants.model_us / constants.hop


def state_bytes(fleet: FleetSize, constants: Constants) -> float:
    """Of an active device."""
    ring = constants.channel_bytes + 4 * fleet.ring_slots
    return constants.device_bytes + fleet.channels * ring


def _memory(fleet: FleetSize, constants: Constants, shards: int) -> dict[str, float]:
    active = constants.state_copies * state_bytes(fleet, constants)
    states = fleet.devices * (fleet.active * active + (1 - fleet.active) * constants.passive_bytes)
    used_mb = {role: mb for role, mb in constants.base_mb.items() if role != "shard"}
    used_mb["shard"] = shards * constants.base_mb["shard"] + states / 2**20
    return {role: round(mb / 1024, 2) for role, mb in used_mb.items()}


def log_bytes_per_s(fleet: FleetSize, constants: Constants, partitions: int) -> float:
    """Of one replica."""
    alone = fleet.rate_hz <= 1
    second_bytes = constants.lone_second_bytes if alone else constants.second_bytes
    return (
        batches_per_s(fleet.records_per_s, partitions) * constants.batch_bytes
        + fleet.records_per_s * constants.record_bytes
        + fleet.samples_per_s * fleet.channels * constants.value_bytes
        + fleet.samples_per_s / fleet.hop * constants.score_bytes
        + fleet.device_seconds_per_s * second_bytes
    )


def _disk(fleet: FleetSize, constants: Constants, partitions: int) -> dict[str, float]:
    per_s = log_bytes_per_s(fleet, constants, partitions)
    kafka = per_s * fleet.kafka_retention_h * 3600 * fleet.replication
    wide = 36 * (fleet.channels - constants.channels)  # an int4 and four float8
    minutes = fleet.devices * 1440 * fleet.minute_days * (constants.row_bytes["minute"] + wide)
    hours = fleet.devices * 24 * fleet.hour_days * (constants.row_bytes["hour"] + wide)
    active = fleet.active * state_bytes(fleet, constants)
    stored = active + (1 - fleet.active) * constants.stored_bytes
    snapshots = fleet.devices * stored * fleet.generations
    sizes = {"kafka": kafka, "postgres": minutes + hours, "snapshots": snapshots}
    return {name: round(size / 1e9, 1) for name, size in sizes.items()}
