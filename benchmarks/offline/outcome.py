"""Everything that a log says must be emitted."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.offline.alerts import Alert, alerts_of
from benchmarks.offline.cells import accept
from benchmarks.offline.records import Life, PartitionReader, Record
from benchmarks.offline.rollups import Rollup, rollups_of
from benchmarks.offline.scores import Models, scores_of
from benchmarks.offline.sessions import Session, sessions_of

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Owed(dict[K, V]):
    """Key -> what the newest life of a device owes. One that was deleted, or got another profile,
    may begin anew where it was, and owes the same key again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.earlier: dict[K, list[V]] = {}
        """What the lives before owe of the same key, in order."""

    def add(self, key: K, value: V) -> None:
        """Another life owes this."""
        if key in self:
            self.earlier.setdefault(key, []).append(self[key])
        self[key] = value


@dataclass(slots=True)
class Outcome:
    """Times in epoch microseconds. Keys name what a life of a device emits exactly once."""

    scores: Owed[tuple[bytes, int, int], float] = field(default_factory=Owed)
    """(device, window start, window end) -> score."""
    rollups: Owed[tuple[bytes, int, int], Rollup] = field(default_factory=Owed)
    """(device, resolution in seconds, bucket start)."""
    alerts: Owed[tuple[bytes, str, str], Alert] = field(default_factory=Owed)
    """(device, alert id, kind)."""
    presences: dict[tuple[bytes, str, int], int] = field(default_factory=dict)
    """(device, offline or online, log time) -> log time of its last record before."""
    sessions: Owed[tuple[bytes, str, str], Session] = field(default_factory=Owed)
    """(device, session id, started or ended)."""
    dead: dict[tuple[int, int], str] = field(default_factory=dict)
    """(partition, offset) -> reason."""
    late: set[tuple[int, int]] = field(default_factory=set)
    forgotten: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """(partition, offset) -> device that was deleted there."""
    deleted: set[Hashable] = field(default_factory=set)
    """Keys of `rollups`, `alerts`, `sessions` and `presences` whose rows went with their device."""
    paused: int = 0
    """Records of paused devices."""
    profiles: dict[bytes, str] = field(default_factory=dict)
    """device -> profile of its last record."""
    samples: int = 0
    """Slots of all devices that hold a value."""
    cells: int = 0


def compute(
    log: Mapping[int, list[Record]],
    models_folder: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    after_recompute: bool = False,
) -> Outcome:
    """Compute the outcome of a topic. log: every partition -> its records from the start on.

    progress: told how many devices are done, of how many. after_recompute: as if nothing had come
    too late.
    """
    outcome = Outcome()
    models = Models(models_folder)
    lives: list[Life] = []
    for partition, records in log.items():
        reader = PartitionReader(partition, len(log))
        reader.read(records)
        lives += reader.lives
        for each in reader.attendance.presences:
            outcome.presences[each.key, each.kind, each.at_us] = each.heard_us
        outcome.dead |= {(partition, offset): why for offset, why in reader.dead.items()}
        outcome.forgotten |= {(partition, at): key for at, key in reader.forgotten.items()}
        outcome.deleted |= reader.deleted
        outcome.paused += reader.paused
    for done, life in enumerate(lives, 1):
        _add(outcome, life, models, after_recompute=after_recompute)
        life.frames.clear()
        if progress is not None:
            progress(done, len(lives))
    return outcome


def _add(outcome: Outcome, life: Life, models: Models, *, after_recompute: bool) -> None:
    rules, key = life.rules, life.key
    series = accept(life, after_recompute=after_recompute)
    scores = scores_of(key, rules, series, models)
    for score in scores:
        start_us = score.start_slot * rules.period_ns // 1000
        end_us = score.end_slot * rules.period_ns // 1000
        outcome.scores.add((key, start_us, end_us), score.score)
    rollups = rollups_of(rules, series, scores)
    for (resolution_s, start_s), rollup in rollups.items():
        _owe(outcome, outcome.rollups, (key, resolution_s, start_s * 1_000_000), rollup)
    for alert in alerts_of(key, rules, scores, ended=life.ended):
        _owe(outcome, outcome.alerts, (key, alert.alert_id, alert.kind), alert)
    for session in sessions_of(key, rules, series, scores, rollups, ended=life.ended):
        begun = Session(session.session_id, session.started_at_us, None)
        _owe(outcome, outcome.sessions, (key, session.session_id, "started"), begun)
        if session.ended_at_us is not None:
            _owe(outcome, outcome.sessions, (key, session.session_id, "ended"), session)
    if life.deleted:
        _delete(outcome, key)
    outcome.late |= {(life.partition, offset) for offset in series.late_offsets}
    outcome.profiles[key] = rules.ref
    outcome.samples += len(series.slots)
    outcome.cells += series.accepted


def _owe(outcome: Outcome, owed: Owed[K, V], key: K, value: V) -> None:
    """Its row is there, also when that of an earlier life was deleted."""
    owed.add(key, value)
    outcome.deleted.discard(key)


def _delete(outcome: Outcome, device: bytes) -> None:
    """What the device emitted up to here."""
    for owed in (outcome.rollups, outcome.alerts, outcome.sessions):
        outcome.deleted |= {key for key in owed if key[0] == device}
