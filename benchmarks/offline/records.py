"""From records to each device's frames: keys, controls, profiles and refusals."""

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from benchmarks.offline.rules import Rules, rules_of
from fleetpulse.telemetry_pb2 import Assignment, Control, SampleBlock, Telemetry

_DEVICE_KEY = re.compile(rb"([A-Za-z0-9][\w.:-]{0,127})/([A-Za-z0-9][\w.:-]{0,127})")
_TELEMETRY_FIELDS, _BLOCK_FIELDS = range(1, 5), range(8, 15)


class Record(NamedTuple):
    """A record of the telemetry topic."""

    offset: int
    log_time_us: int
    key: bytes
    value: bytes


class Frame(NamedTuple):
    """An admitted record. rows: float32 [n, channels], NaN where a channel is absent."""

    offset: int
    t0_ns: int
    period_ns: int
    rows: NDArray[np.float32]


@dataclass(slots=True)
class Life:
    """A device's records under one profile, in log order.

    ended: a control gave the device another profile.
    """

    partition: int
    key: bytes
    rules: Rules
    frames: list[Frame] = field(default_factory=list)
    ended: bool = False


class RefusedRecord(Exception):
    """The record goes to telemetry.dead; the message is the reason."""


class PartitionReader:
    """Reads one partition's records in order."""

    def __init__(self, partition: int, partitions: int) -> None:
        self.partition = partition
        self.partitions = partitions
        self.log_time_us = 0
        self.lives: list[Life] = []
        self.dead: dict[int, str] = {}
        self._current: dict[bytes, Life] = {}
        self._profiles: dict[str, Rules] = {}
        self._assignments: list[Assignment] = []
        self._controls_seen: set[str] = set()

    def read(self, records: Iterable[Record]) -> None:
        """Take records; `lives` and `dead` hold the result."""
        for record in records:
            self.log_time_us = max(self.log_time_us, record.log_time_us)
            try:
                self._read_one(record)
            except RefusedRecord as refusal:
                self.dead[record.offset] = str(refusal)

    def _read_one(self, record: Record) -> None:
        if record.key == b"!tick":
            return
        if record.key == b"!control":
            self._apply_control(record.value)
            return
        if not _DEVICE_KEY.fullmatch(record.key):
            raise RefusedRecord("bad_key")
        if (murmur2(record.key) & 0x7FFFFFFF) % self.partitions != self.partition:
            raise RefusedRecord("wrong_partition")
        life = self._current.get(record.key)
        if life is None:
            rules = self._rules_for(record.key)
            life = self._current[record.key] = Life(self.partition, record.key, rules)
            self.lives.append(life)
        frame = _frame_of(record, life.rules)
        newest_ns = frame.t0_ns + (len(frame.rows) - 1) * frame.period_ns
        if newest_ns > (self.log_time_us + life.rules.future_bound_us) * 1000:
            raise RefusedRecord("future")
        if frame.t0_ns < (self.log_time_us - life.rules.past_bound_us) * 1000:
            raise RefusedRecord("past")
        life.frames.append(frame)

    def _apply_control(self, value: bytes) -> None:
        try:
            control = Control.FromString(value)
        except DecodeError as error:
            raise RefusedRecord("bad_control") from error
        if control.id in self._controls_seen:
            return
        if control.id and control.HasField("profile_yaml"):
            rules = rules_of(control.profile_yaml)
            if self._profiles.setdefault(rules.ref, rules) != rules:
                raise RefusedRecord("bad_control")
        elif control.id and control.HasField("assignment"):
            if self._assigned(control.assignment) is None:
                raise RefusedRecord("bad_control")
            self._assignments.append(control.assignment)
        else:
            raise RefusedRecord("bad_control")
        self._controls_seen.add(control.id)
        for key, life in list(self._current.items()):
            if self._rules_for(key) != life.rules:
                life.ended = True
                del self._current[key]

    def _rules_for(self, key: bytes) -> Rules:
        tenant, device = key.decode().split("/")
        for assignment in reversed(self._assignments):
            if assignment.tenant in ("", "*", tenant) and fnmatch.fnmatchcase(
                device, assignment.device_pattern or "*"
            ):
                rules = self._assigned(assignment)
                assert rules is not None
                return rules
        raise RefusedRecord("no_profile")

    def _assigned(self, assignment: Assignment) -> Rules | None:
        """The assignment's profile; revision 0 is the newest that is known."""
        revisions = {
            rules.revision: rules
            for rules in self._profiles.values()
            if rules.name == assignment.profile
        }
        return revisions.get(assignment.profile_revision or max(revisions, default=0))


def _frame_of(record: Record, rules: Rules) -> Frame:
    first_field = record.value[0] >> 3 if record.value else 0
    try:
        if first_field in _BLOCK_FIELDS:
            frame = _block_frame(record.offset, SampleBlock.FromString(record.value), rules)
        elif first_field in _TELEMETRY_FIELDS:
            frame = _telemetry_frame(record.offset, Telemetry.FromString(record.value), rules)
        else:
            raise RefusedRecord("undecodable")
    except DecodeError as error:
        raise RefusedRecord("undecodable") from error
    if np.isinf(frame.rows).any():
        raise RefusedRecord("not_finite")
    return frame


def _block_frame(offset: int, block: SampleBlock, rules: Rules) -> Frame:
    width = len(rules.channels)
    if (
        not 1 <= block.count <= rules.block_samples_max
        or len(block.samples) != block.count * width * 4
        or block.profile_revision not in (0, rules.revision)
        or not (block.count == 1 or 0 < block.period_ns < 1 << 63)
    ):
        raise RefusedRecord("wrong_shape")
    rows = np.frombuffer(block.samples, "<f4").reshape(-1, width)
    if np.isnan(rows).any():
        raise RefusedRecord("not_finite")
    return Frame(offset, block.t0_us * 1000, block.period_ns, rows)


def _telemetry_frame(offset: int, message: Telemetry, rules: Rules) -> Frame:
    if not message.metrics:
        raise RefusedRecord("wrong_shape")
    if not set(message.metrics) <= set(rules.channels):
        raise RefusedRecord("unknown_channel")
    row = np.full(len(rules.channels), np.nan, np.float32)
    for name, value in message.metrics.items():
        with np.errstate(over="ignore"):
            row[rules.channels.index(name)] = value
        if not np.isfinite(row[rules.channels.index(name)]):
            raise RefusedRecord("not_finite")
    return Frame(offset, message.ts * 1_000_000, 0, row[None])


def murmur2(data: bytes) -> int:
    """Kafka's hash of a record key."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) - len(data) % 4
    for i in range(0, whole, 4):
        k = (int.from_bytes(data[i : i + 4], "little") * m) & mask
        k = ((k ^ (k >> 24)) * m) & mask
        h = ((h * m) & mask) ^ k
    if whole < len(data):
        h = ((h ^ int.from_bytes(data[whole:], "little")) * m) & mask
    h = ((h ^ (h >> 13)) * m) & mask
    return h ^ (h >> 15)
