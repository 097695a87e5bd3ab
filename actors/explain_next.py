"""An alert that a recomputation promoted, by the run that gave it: next, in order of event time."""

from dataclasses import replace
from typing import Final

import numpy as np

from actors.explanation import (
    SCORES_SHOWN,
    Explanation,
    SourceRecord,
    in_window,
    led_to,
    range_of,
    shown,
    slots_at,
)
from actors.rerun import Again, Span
from fleetpulse.effects import F32, I64
from fleetpulse.layout import Layout
from fleetpulse.ports import RecordBatch
from fleetpulse.profile import Profile
from fleetpulse.reads import AlertRow, StoredAlert
from fleetpulse.recompute.history import Life
from fleetpulse.recompute.job import Cause, Wanted
from fleetpulse.recompute.ledger import Ledger
from fleetpulse.recompute.ranges import TimeRange
from fleetpulse.recompute.runs import LiveRun, NextRun

_CAUSES: Final[tuple[Cause, ...]] = ("late", "profile")
"""Under its profiles as they were, then as if the newest had been there all the time: the job that
promoted the alert may be forgotten."""


def explain_next(
    again: Again, span: Span, key: bytes, alert: StoredAlert, profile: Profile
) -> Explanation | None:
    """None if next does not give the alert. profile: the alert's."""
    row, keys = alert.row, frozenset({key})
    lead_us = SCORES_SHOWN * profile.window.hop * profile.period_ns // 1000
    wanted = Wanted(key, TimeRange(row.window_start_us - lead_us, row.window_end_us), "late")
    engine = again.engine(span)
    live = LiveRun(engine, [wanted])
    for turn in again.run(span, keys, engine):
        live.take(turn)
    lives = live.history.lives[key]
    for cause in _CAUSES[: len(lives)]:
        seen = _Seen(row, Layout.of(profile), lives)
        found = NextRun(live, [replace(wanted, cause=cause)], span.partition, again.scorer, seen)
        for batch in again.records(span, keys):
            found.take(batch)
            seen.note(key, batch)
        ledger = found.ledgers()[key]
        if row.alert_id in ledger.alerts:
            return seen.explanation(alert, profile, span.partition, ledger)
    return None


class _Seen:
    """The window, and the records that hold samples of it."""

    def __init__(self, alert: AlertRow, layout: Layout, lives: list[Life]) -> None:
        self._alert = alert
        self._layout = layout
        self._begin = lives[0].begin
        self._unused = {offset for life in lives for offset in life.unused}
        self._late = {each.offset for life in lives for each in life.late}
        self._start = int(slots_at(layout, alert.window_start_us)[0])
        self._window = np.full((layout.window, layout.channels), np.nan, np.float32)
        self._records: list[SourceRecord] = []

    def __call__(self, profile: Profile, slots: I64, samples: F32) -> None:
        """Watch the run's samples."""
        if profile.ref == self._alert.profile:
            at = slots - self._start
            mine = np.flatnonzero((at >= 0) & (at < self._layout.window))
            self._window[at[mine]] = samples[mine]

    def note(self, key: bytes, batch: RecordBatch) -> None:
        """Look at records as they came."""
        for offset, log_time_us, of, value in zip(
            batch.offsets.tolist(),
            batch.log_time_us.tolist(),
            batch.keys,
            batch.values,
            strict=True,
        ):
            if of != key or offset < self._begin or offset in self._unused:
                continue
            first_us, last_us = range_of(value)
            if in_window(self._layout, self._alert, (first_us, last_us)):
                late = offset in self._late
                self._records.append(SourceRecord(offset, log_time_us, first_us, last_us, late))

    def explanation(
        self, alert: StoredAlert, profile: Profile, partition: int, ledger: Ledger
    ) -> Explanation:
        """All that was seen."""
        scores = [each for rows in ledger.scores for each in shown(rows)]
        return Explanation(
            stored=alert,
            run="next",
            profile=profile,
            partition=partition,
            window=self._window,
            records=tuple(self._records),
            decided_at=self._records[-1].offset,
            score=ledger.alerts[alert.row.alert_id].raised.score,
            scores=led_to(alert.row, scores),
        )
