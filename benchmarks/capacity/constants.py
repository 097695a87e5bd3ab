"""The measured constants of capacity: constants.json, beside the commands that measure them."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

FILE: Final = Path(__file__).with_name("constants.json")
ROLES: Final = ("shard", "broker", "postgres", "live hub", "other")
"""Parts of a stack whose CPU is told apart; other: Ray, Serve, ingest without requests."""
YARDSTICK: Final = ("ray system", "serve system", "ingest")
"""Processes that do the same whatever flows: their CPU tells how fast the machine is."""


@dataclass(frozen=True, slots=True)
class Constants:
    """CPU in µs on one core of the measuring machine. By role: an entry per ROLES."""

    yardstick_us: float
    """`bench scale --axis loads`: what YARDSTICK used a second when the CPU below was measured."""
    base_us: dict[str, float]
    """`bench scale --axis loads`: per second, by role, as soon as anything flows."""
    shard_us: dict[str, float]
    """`bench scale --axis loads`: per shard and second, by role: polls, fetches, commits, ticks."""
    batch_us: dict[str, float]
    """`bench scale --axis loads`: per batch of a partition, by role: a request to the broker."""
    record_us: dict[str, float]
    """`bench scale --axis loads`: per record (frame), by role."""
    sample_us: dict[str, float]
    """`bench scale --axis loads`: per sample of the shipped profile, model included, by role."""
    second_us: dict[str, float]
    """`bench scale --axis loads`: per device and second in which it was heard, by role: what its
    rollups cost, in Kafka each second, in PostgreSQL each minute."""
    value_us: float
    """`bench scale --axis channels`: per further channel of a sample, in the core."""
    channels: int
    """Of the shipped profile."""
    hop: int
    model_us: float
    """Card of the shipped model: per window, at batch 64."""
    base_mb: dict[str, float]
    """`bench scale --axis loads`: memory by role, before any device comes; of each shard."""
    state_copies: float
    """`bench scale --axis loads`: bytes of a shard's memory for each byte of its active states:
    columns double when they are full, snapshots copy what has changed."""
    device_bytes: float
    """`bench scale --axis channels`: of an active device, whatever it measures."""
    channel_bytes: float
    """`bench scale --axis channels`: per channel of an active device, beside its ring."""
    passive_bytes: float
    """`bench devices`: memory of a passive device."""
    stored_bytes: float
    """`bench devices`: disk of a device's state, per generation."""
    batch_bytes: float
    """`bench scale --axis loads`: of a batch in the telemetry log, beside its records."""
    record_bytes: float
    """`bench scale --axis loads`: of a telemetry record, beside its values."""
    value_bytes: float
    """`bench scale --axis loads`: of a sample's channel, compression included."""
    score_bytes: float
    """`bench scale --axis loads`: of a score in the log."""
    second_bytes: float
    """`bench scale --axis loads`: of a device's second in the log."""
    lone_second_bytes: float
    """`bench scale --axis loads`: of a second that holds one sample: its statistics are equal."""
    row_bytes: dict[str, float]
    """`bench rows`: of a row with its indexes in PostgreSQL, by resolution."""

    @classmethod
    def read(cls, file: Path = FILE) -> Self:
        """As committed."""
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{each.name: told[each.name] for each in fields(cls)})

    def write(self, file: Path = FILE) -> None:
        """For a commit."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
