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
from benchmarks.offline.silence import Attendance
from fleetpulse.telemetry_pb2 import Assignment, Control, Forget, Pause, SampleBlock, Telemetry

_DEVICE_KEY = re.compile(rb"([A-Za-z0-9][\w.:-]{0,127})/([A-Za-z0-9][\w.:-]{0,127})")
_NAME = re.compile(rb"[A-Za-z0-9][\w.:-]{0,127}")
ACTS_REMEMBERED = 10_000
_ACTS = ("forget", "savepoint")
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

    ended: a control gave the device another profile, or deleted it. paid_ns: log time up to which
    it has used what it may send.
    """

    partition: int
    key: bytes
    rules: Rules
    frames: list[Frame] = field(default_factory=list)
    silences: list[int] = field(default_factory=list)
    """How many frames there were each time it went offline."""
    ended: bool = False
    deleted: bool = False
    """Its rows in the database are gone; what it emitted to topics is not."""
    paid_ns: int = 0

    def fall_silent(self) -> None:
        """It went offline after the frames so far."""
        self.silences.append(len(self.frames))


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
        self.forgotten: dict[int, bytes] = {}
        self.deleted: set[tuple[bytes, str, int]] = set()
        """Device, kind and time of presences that no row is owed for any more."""
        self.paused = 0
        self.attendance = Attendance()
        self._current: dict[bytes, Life] = {}
        self._profiles: dict[str, Rules] = {}
        self._assignments: list[Assignment] = []
        self._pauses: list[Pause] = []
        self._acts_seen: list[str] = []
        self._lasting_seen: set[str] = set()

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
            for key in self.attendance.tick(self.log_time_us, self._is_paused):
                self._current[key].fall_silent()
            return
        if record.key == b"!control":
            self._apply_control(record)
            return
        if not _DEVICE_KEY.fullmatch(record.key):
            raise RefusedRecord("bad_key")
        if not self._is_mine(record.key):
            raise RefusedRecord("wrong_partition")
        if self._is_paused(record.key):
            self.paused += 1
            return
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
        self._charge(life, len(frame.rows))
        life.frames.append(frame)
        self.attendance.hear(record.key, self.log_time_us, life.rules.offline_after_us)

    def _charge(self, life: Life, samples: int) -> None:
        now_ns = self.log_time_us * 1000
        paid_ns = max(life.paid_ns, now_ns) + samples * life.rules.sample_cost_ns
        if paid_ns > now_ns + life.rules.burst_ns:
            raise RefusedRecord("over_rate")
        life.paid_ns = paid_ns

    def _apply_control(self, record: Record) -> None:
        try:
            control = Control.FromString(record.value)
        except DecodeError as error:
            raise RefusedRecord("bad_control") from error
        if control.id in self._lasting_seen or control.id in self._acts_seen:
            return
        if not control.id:
            raise RefusedRecord("bad_control")
        self._change(control, record.offset)
        if control.WhichOneof("change") in _ACTS:
            self._acts_seen = [*self._acts_seen, control.id][-ACTS_REMEMBERED:]
        else:
            self._lasting_seen.add(control.id)
        for key, life in list(self._current.items()):
            if self._rules_for(key) != life.rules:
                life.ended = True
                self.attendance.forget(key)
                del self._current[key]

    def _change(self, control: Control, offset: int) -> None:
        match control.WhichOneof("change"):
            case "profile_yaml":
                rules = rules_of(control.profile_yaml)
                if self._profiles.setdefault(rules.ref, rules) != rules:
                    raise RefusedRecord("bad_control")
            case "assignment":
                if self._assigned(control.assignment) is None:
                    raise RefusedRecord("bad_control")
                self._assignments.append(control.assignment)
            case "pause":
                paused = [key for key in self._current if self._is_paused(key)]
                self._pauses.append(control.pause)
                for key in paused:
                    if not self._is_paused(key):
                        self.attendance.resume(key, self.log_time_us)
            case "forget":
                self._forget(offset, control.forget)
            case _:
                if not _is_about_the_run(control):
                    raise RefusedRecord("bad_control")

    def _forget(self, offset: int, asked: Forget) -> None:
        key = f"{asked.tenant}/{asked.device_id}".encode()
        if not _DEVICE_KEY.fullmatch(key):
            raise RefusedRecord("bad_control")
        if self._is_mine(key):
            self.forgotten[offset] = key
            for life in self.lives:
                life.deleted |= life.key == key
            self.deleted |= {
                (key, each.kind, each.at_us)
                for each in self.attendance.presences
                if each.key == key
            }
            self.attendance.delete(key)
            if key in self._current:
                self._current.pop(key).ended = True

    def _is_mine(self, key: bytes) -> bool:
        return (murmur2(key) & 0x7FFFFFFF) % self.partitions == self.partition

    def _is_paused(self, key: bytes) -> bool:
        tenant, device = key.decode().split("/")
        for pause in reversed(self._pauses):
            if pause.tenant in ("", "*", tenant) and fnmatch.fnmatchcase(
                device, pause.device_pattern or "*"
            ):
                return pause.paused
        return False

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


def _is_about_the_run(control: Control) -> bool:
    """A usable record that changes no result; result versions other than this one are not here."""
    if control.WhichOneof("change") == "savepoint":
        return bool(_NAME.fullmatch(control.savepoint.name.encode()))
    return control.WhichOneof("change") == "result_version" and control.result_version.version > 0


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
