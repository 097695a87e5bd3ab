"""A whole run against its log: everything emitted, in Kafka and PostgreSQL, exactly once."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from benchmarks import emitted
from benchmarks.emitted import AlertRow
from benchmarks.log_progress import LogProgress
from benchmarks.offline import compare
from benchmarks.offline.compare import Finding, K, V, compare_once
from benchmarks.offline.outcome import Outcome, compute
from benchmarks.topics import read_log
from fleetpulse.errors import RetryLater
from fleetpulse.settings import KafkaSettings, Settings

_POLL_S = 0.2
_PROGRESS = "SELECT sink, partition, next_offset FROM progress"


@dataclass(slots=True)
class CheckReport:
    """Findings by what was compared, and how much that was."""

    findings: dict[str, list[Finding]] = field(default_factory=dict)
    compared: dict[str, int] = field(default_factory=dict)

    def put(
        self,
        name: str,
        expected: Mapping[K, V],
        observed: Iterable[tuple[K, V]],
        words: Callable[[K], str],
        difference: Callable[[V, V], str],
    ) -> None:
        """Compare, and keep what is found."""
        self.findings[name] = compare_once(expected, observed, words, difference)
        self.compared[name] = len(expected)

    @property
    def equal(self) -> bool:
        """Nothing was missing, doubled, different or unexpected."""
        return not any(self.findings.values())

    def lines(self, examples: int = 5) -> list[str]:
        """For people: a line per comparison, and the first findings of each."""
        out = []
        for name, found in self.findings.items():
            out.append(f"{name}: {self.compared[name]} expected, {compare.summary(found)}")
            out += [f"  {finding}" for finding in found[:examples]]
        return out


def await_processed(settings: Settings, timeout_s: float) -> None:
    """Return when all sinks have every record that the log has now; raises RetryLater."""
    log = LogProgress(settings.kafka)
    ends = log.ends()
    deadline_s = time.monotonic() + timeout_s
    while behind := _behind(settings, log, ends):
        if time.monotonic() > deadline_s:
            raise RetryLater(f"after {timeout_s:g} s still behind the log: {behind}")
        time.sleep(_POLL_S)


def check(
    settings: Settings, *, progress: Callable[[int, int], None] | None = None
) -> tuple[CheckReport, Outcome]:
    """Compare everything; `await_processed` first, and nobody may send meanwhile."""
    log, _ = read_log(settings.kafka)
    outcome = compute(log, settings.model.folder, progress=progress)
    del log
    report = CheckReport()
    _check_kafka(settings.kafka, outcome, report)
    with _connect(settings) as connection:
        _check_postgres(connection, outcome, report)
    return report, outcome


def _check_kafka(kafka: KafkaSettings, outcome: Outcome, report: CheckReport) -> None:
    report.put(
        "scores",
        outcome.scores,
        emitted.scores(kafka),
        compare.score_name,
        compare.score_difference,
    )
    report.put(
        "alerts",
        outcome.alerts,
        emitted.alerts(kafka),
        compare.alert_name,
        compare.alert_difference,
    )
    for topic, resolution_s in (("aggregates.second", 1), ("aggregates.minute", 60)):
        report.put(
            topic,
            {key: rollup for key, rollup in outcome.rollups.items() if key[1] == resolution_s},
            emitted.rollups(kafka, topic),
            compare.rollup_name,
            compare.rollup_difference,
        )
    late = dict.fromkeys(outcome.late, "late")
    for topic, expected in (("telemetry.dead", outcome.dead), ("telemetry.late", late)):
        report.put(
            topic,
            expected,
            emitted.rejections(kafka, topic),
            compare.rejection_name,
            compare.reason_difference,
        )


def _check_postgres(
    connection: psycopg.Connection[Any], outcome: Outcome, report: CheckReport
) -> None:
    report.put(
        "rollups in PostgreSQL",
        {key: rollup for key, rollup in outcome.rollups.items() if key[1] > 1},
        emitted.rollup_rows(connection),
        compare.rollup_name,
        compare.rollup_difference,
    )
    report.put(
        "alerts in PostgreSQL",
        emitted.expected_alert_rows(outcome.alerts),
        emitted.alert_rows(connection),
        _row_name,
        _row_difference,
    )


def _behind(settings: Settings, log: LogProgress, ends: Mapping[int, int]) -> dict[str, int]:
    """Records that each sink still lacks, of those below `ends`."""
    at: dict[str, dict[int, int]] = {
        "kafka": log.committed(),
        "alerts": {},
        "rollups": {},
    }
    with _connect(settings) as connection:
        for sink, partition, next_offset in connection.execute(_PROGRESS):
            at[sink][partition] = next_offset or 0
    lacking = {
        sink: sum(max(0, end - offsets.get(partition, 0)) for partition, end in ends.items())
        for sink, offsets in at.items()
    }
    return {sink: count for sink, count in lacking.items() if count}


def _connect(settings: Settings) -> psycopg.Connection[Any]:
    assert settings.postgres.dsn is not None
    return psycopg.connect(settings.postgres.dsn.get_secret_value(), connect_timeout=5)


def _row_name(key: tuple[bytes, str]) -> str:
    return f"alert {key[1]} of {key[0].decode()}"


def _row_difference(expected: AlertRow, observed: AlertRow) -> str:
    for name in ("raised_at_us", "cleared_at_us", "window_start_us", "window_end_us"):
        a, b = getattr(expected, name), getattr(observed, name)
        if a != b:
            return f"{name} {b} instead of {a}"
    return compare.score_difference(expected.score, observed.score) or compare.score_difference(
        expected.peak_score, observed.peak_score
    )
