"""Everything that a log says must be emitted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.offline.alerts import Alert, alerts_of
from benchmarks.offline.cells import accept
from benchmarks.offline.records import Life, PartitionReader, Record
from benchmarks.offline.rollups import Rollup, rollups_of
from benchmarks.offline.scores import Models, scores_of


@dataclass(slots=True)
class Outcome:
    """Times in epoch microseconds. Keys name what is emitted exactly once."""

    scores: dict[tuple[bytes, int, int], float] = field(default_factory=dict)
    """(device, window start, window end) -> score."""
    rollups: dict[tuple[bytes, int, int], Rollup] = field(default_factory=dict)
    """(device, resolution in seconds, bucket start)."""
    alerts: dict[tuple[bytes, str, str], Alert] = field(default_factory=dict)
    """(device, alert id, kind)."""
    dead: dict[tuple[int, int], str] = field(default_factory=dict)
    """(partition, offset) -> reason."""
    late: set[tuple[int, int]] = field(default_factory=set)
    profiles: dict[bytes, str] = field(default_factory=dict)
    """device -> profile of its last record."""
    samples: int = 0
    """Slots of all devices that hold a value."""
    cells: int = 0


def compute(
    log: Mapping[int, list[Record]],
    models_folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Compute the outcome of a topic. log: every partition -> its records from the start on.

    progress: told how many devices are done, of how many.
    """
    outcome = Outcome()
    models = Models(models_folder)
    lives: list[Life] = []
    for partition, records in log.items():
        reader = PartitionReader(partition, len(log))
        reader.read(records)
        lives += reader.lives
        outcome.dead |= {(partition, offset): why for offset, why in reader.dead.items()}
    for done, life in enumerate(lives, 1):
        _add(outcome, life, models)
        life.frames.clear()
        if progress is not None:
            progress(done, len(lives))
    return outcome


def _add(outcome: Outcome, life: Life, models: Models) -> None:
    rules, key = life.rules, life.key
    series = accept(life)
    scores = scores_of(key, rules, series, models)
    for score in scores:
        start_us = score.start_slot * rules.period_ns // 1000
        end_us = score.end_slot * rules.period_ns // 1000
        outcome.scores[key, start_us, end_us] = score.score
    for (resolution_s, start_s), rollup in rollups_of(rules, series, scores).items():
        outcome.rollups[key, resolution_s, start_s * 1_000_000] = rollup
    for alert in alerts_of(key, rules, scores, ended=life.ended):
        outcome.alerts[key, alert.alert_id, alert.kind] = alert
    outcome.late |= {(life.partition, offset) for offset in series.late_offsets}
    outcome.profiles[key] = rules.ref
    outcome.samples += len(series.slots)
    outcome.cells += series.accepted
