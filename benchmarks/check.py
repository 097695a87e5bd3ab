"""A whole run against its log: everything emitted, in Kafka and PostgreSQL, exactly once."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import IsolationLevel

from benchmarks import emitted, emitted_events
from benchmarks.emitted import AlertRow, Corrected
from benchmarks.log_progress import LogProgress
from benchmarks.offline import compare
from benchmarks.offline.compare import Finding, K, V, compare_once
from benchmarks.offline.outcome import Outcome, compute
from benchmarks.offline.rollups import Rollup
from benchmarks.offline.sessions import Session
from benchmarks.topics import EVERYTHING, Span, read_log
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
        earlier: Mapping[K, Sequence[V]] = MappingProxyType({}),
    ) -> None:
        """Compare, and keep what is found."""
        self.findings[name] = compare_once(expected, observed, words, difference, earlier)
        again = sum(len(values) for key, values in earlier.items() if key in expected)
        self.compared[name] = len(expected) + again

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
    deadline_s = time.monotonic() + timeout_s
    ends: dict[int, int] = {}
    behind: object = "servers do not answer"
    while behind:
        if time.monotonic() > deadline_s:
            raise RetryLater(f"after {timeout_s:g} s still behind the log: {behind}")
        time.sleep(_POLL_S)
        try:
            ends = ends or log.ends()
            behind = _behind(settings, log, ends)
        except (RetryLater, psycopg.OperationalError) as error:
            behind = error


def check(
    settings: Settings,
    *,
    span: Span = EVERYTHING,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[CheckReport, Outcome]:
    """Compare everything of the span; `await_processed` first, and nobody may send meanwhile."""
    log, _ = read_log(settings.kafka, span)
    outcome = compute(log, settings.model.folder, progress=progress)
    report = CheckReport()
    _check_kafka(settings.kafka, span, outcome, report)
    with _connect(settings) as connection:
        # One snapshot: a promotion in between would be seen by half.
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        corrected = emitted.corrected(connection)
        after = outcome
        if corrected.any:
            after = compute(log, settings.model.folder, after_recompute=True)
        del log
        views = _Views(outcome, after, corrected)
        _check_postgres(connection, span, outcome, views, report)
    return report, outcome


@dataclass(frozen=True, slots=True)
class _Views:
    """Live's view, and the one in which nothing came too late, of which parts were promoted."""

    live: Outcome
    after: Outcome
    corrected: Corrected

    def rollups(self) -> dict[emitted.RollupKey, Rollup]:
        """What readers must see."""
        hidden = self.corrected.withheld | self.corrected.rollups
        live = kept(self.live, self.live.rollups)
        seen = {k: row for k, row in live.items() if k[1] > 1 and k not in hidden}
        promoted = self.after.rollups.items()
        return seen | {k: row for k, row in promoted if k in self.corrected.rollups}

    def alerts(self) -> dict[tuple[bytes, str], AlertRow]:
        """What readers must see."""
        hidden = self.corrected.withdrawn | self.corrected.alerts
        live = emitted.expected_alert_rows(kept(self.live, self.live.alerts))
        after = emitted.expected_alert_rows(self.after.alerts)
        return {k: row for k, row in live.items() if k not in hidden} | {
            k: row for k, row in after.items() if k in self.corrected.alerts
        }

    def sessions(self) -> dict[tuple[bytes, str], Session]:
        """What readers must see, but what is still to be ended."""
        hidden = self.corrected.sessions_hidden | self.corrected.sessions
        live = emitted_events.expected_session_rows(kept(self.live, self.live.sessions))
        after = emitted_events.expected_session_rows(self.after.sessions)
        return {k: row for k, row in live.items() if k not in hidden} | {
            k: row for k, row in after.items() if k in self.corrected.sessions
        }


def _check_kafka(kafka: KafkaSettings, span: Span, outcome: Outcome, report: CheckReport) -> None:
    report.put(
        "scores",
        outcome.scores,
        emitted.scores(kafka, span),
        compare.score_name,
        compare.score_difference,
        outcome.scores.earlier,
    )
    report.put(
        "alerts",
        outcome.alerts,
        emitted.alerts(kafka, span),
        compare.alert_name,
        compare.alert_difference,
        outcome.alerts.earlier,
    )
    for topic, resolution_s in (("aggregates.second", 1), ("aggregates.minute", 60)):
        report.put(
            topic,
            {key: rollup for key, rollup in outcome.rollups.items() if key[1] == resolution_s},
            emitted.rollups(kafka, topic, span),
            compare.rollup_name,
            compare.rollup_difference,
            outcome.rollups.earlier,
        )
    presences, sessions = emitted_events.events(kafka, span)
    report.put(
        "offline and online",
        outcome.presences,
        presences,
        compare.presence_name,
        compare.presence_difference,
    )
    report.put(
        "sessions",
        outcome.sessions,
        sessions,
        compare.session_name,
        compare.session_difference,
        outcome.sessions.earlier,
    )
    report.put(
        "tombstones",
        outcome.forgotten,
        emitted.tombstones(kafka, span),
        compare.rejection_name,
        compare.device_difference,
    )
    late = dict.fromkeys(outcome.late, "late")
    for topic, expected in (("telemetry.dead", outcome.dead), ("telemetry.late", late)):
        report.put(
            topic,
            expected,
            emitted.rejections(kafka, topic, span),
            compare.rejection_name,
            compare.reason_difference,
        )


def kept(outcome: Outcome, emitted: Mapping[K, V]) -> dict[K, V]:
    """Without the rows that went with their device."""
    return {key: value for key, value in emitted.items() if key not in outcome.deleted}


def _check_postgres(
    connection: psycopg.Connection[Any],
    span: Span,
    outcome: Outcome,
    views: _Views,
    report: CheckReport,
) -> None:
    report.put(
        "rollups in PostgreSQL",
        views.rollups(),
        (row for row in emitted.rollup_rows(connection) if span.has(row[0][0])),
        compare.rollup_name,
        compare.rollup_difference,
    )
    report.put(
        "alerts in PostgreSQL",
        views.alerts(),
        (row for row in emitted.alert_rows(connection) if span.has(row[0][0])),
        _row_name,
        _row_difference,
    )
    report.put(
        "sessions in PostgreSQL",
        views.sessions(),
        (row for row in emitted_events.session_rows(connection) if span.has(row[0][0])),
        lambda key: compare.session_name((*key, "in a row")),
        compare.session_difference,
    )
    report.put(
        "offline in PostgreSQL",
        emitted_events.expected_offline_rows(kept(outcome, outcome.presences)),
        (row for row in emitted_events.offline_rows(connection) if span.has(row[0][0])),
        compare.presence_name,
        compare.presence_difference,
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
            if sink in at:  # others follow other topics
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
