"""Why an alert was raised: its window, model, records and decision, computed again from the log.

An alert of the live view comes from live's run; one that a recomputation promoted from next, in
which late records have their place (`explain_next.py`).
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from actors.explain_next import explain_next
from actors.explanation import (
    SCORES_SHOWN,
    Explanation,
    ShownScore,
    SourceRecord,
    in_window,
    led_to,
    range_of,
    shown,
    slots_at,
)
from actors.rerun import Again, Span
from fleetpulse.cohort import Cohort
from fleetpulse.effects import F32
from fleetpulse.engine import Engine
from fleetpulse.errors import InputError
from fleetpulse.identity import DeviceKey, partition_of
from fleetpulse.ports import RecordBatch
from fleetpulse.profile import Profile
from fleetpulse.reads import AlertRow, StoredAlert
from fleetpulse.rerun import Turn, engine_at, rerun

_EVER_US: Final = 1 << 62


def explain(again: Again, alert: StoredAlert) -> Explanation:
    """Run the alert's device again, first from shortly before, then from the log's beginning.

    Raises InputError 404 when what is retained of the log does not give the alert.
    """
    row = alert.row
    key = DeviceKey(row.tenant, row.device_id).encode()
    partition = partition_of(key, again.partitions_total)
    first, end = again.log.bounds(partition)
    profile = _known_profiles(again, partition).get(row.profile)
    promoted = alert.view_epoch > 0 and not alert.withdrawn
    if promoted and alert.log_offset is not None:
        end = min(end, alert.log_offset)  # what came later is of a later view
    whole = Span.whole(again.log, partition, end)
    recent = Span.since(again.log, partition, _begin_us(profile, row), end)
    for span in dict.fromkeys((recent, whole)):
        if promoted and profile is not None:
            found = explain_next(again, span, key, alert, profile)
        else:
            found = _Rerun(again, span, key, alert).explanation()
        if found is not None:
            return found
    raise InputError("alert_id", _not_given(alert, partition, first), status=404)


def _not_given(alert: StoredAlert, partition: int, first: int) -> str:
    left = f"is not in what is left of partition {partition}, from offset {first} on"
    if not alert.withdrawn:
        return left
    return (
        f"was withdrawn by view {alert.view_epoch}, and is not live's: "
        f"a correction before had raised it, or it {left}"
    )


def _known_profiles(again: Again, partition: int) -> dict[str, Profile]:
    controls = again.log.controls(_EVER_US)
    engine = engine_at(partition, again.partitions_total, controls)
    return engine.partitions[partition].control.profiles


def _begin_us(profile: Profile | None, alert: AlertRow) -> int:
    """Log time from which the alert's states are those of the live run, as a rule."""
    if profile is None or profile.model is None:
        return 0
    rule, window = profile.alert, profile.window
    windows = rule.raise_after + rule.clear_after + SCORES_SHOWN
    span_ns = (window.size + windows * window.hop + profile.lateness_slots) * profile.period_ns
    bounds_us = round((rule.dedup_s + profile.future_bound_s) * 1e6)
    return max(0, alert.window_start_us - span_ns // 1000 - bounds_us)


class _Rerun:
    """One device from a span's begin until the alert is raised."""

    def __init__(self, again: Again, span: Span, key: bytes, alert: StoredAlert) -> None:
        self._again, self._span, self._key, self._stored = again, span, key, alert
        self._alert = alert.row
        self._engine: Engine = again.engine(span)
        self._records: list[SourceRecord] = []
        self._scores: list[ShownScore] = []

    def explanation(self) -> Explanation | None:
        """None if the alert does not come."""
        for turn in rerun(self._engine, self._one_by_one(), self._again.scorer):
            self._note(turn)
            for event in turn.effects.alerts:
                if event.alert_id == self._alert.alert_id and event.kind == "raised":
                    return self._explained(int(turn.batch.offsets[0]), event.score)
        return None

    def _one_by_one(self) -> Iterator[RecordBatch]:
        """So that it is known which record decided, and the ring still holds its window."""
        for batch in self._again.records(self._span, frozenset({self._key})):
            for at in range(len(batch)):
                yield batch.slice(at, at + 1)

    def _note(self, turn: Turn) -> None:
        batch = turn.batch
        for rows in turn.effects.scores:
            self._scores += shown(rows)
        if batch.keys[0] != self._key or turn.effects.dead:
            return
        place = self._engine.directory.find(self._key)
        first_us, last_us = range_of(batch.values[0])
        if place and in_window(place[0].layout, self._alert, (first_us, last_us)):
            offset, log_time_us = int(batch.offsets[0]), int(batch.log_time_us[0])
            late = bool(turn.effects.late)
            self._records.append(SourceRecord(offset, log_time_us, first_us, last_us, late))

    def _explained(self, decided_at: int, score: float) -> Explanation:
        place = self._engine.directory.find(self._key)
        assert place is not None, "a device without a place raised an alert"
        cohort, row = place
        return Explanation(
            stored=self._stored,
            run="live",
            profile=cohort.profile,
            partition=self._span.partition,
            window=_window(cohort, row, self._alert.window_start_us),
            records=tuple(self._records),
            decided_at=decided_at,
            score=score,
            scores=led_to(self._alert, self._scores),
        )


def _window(cohort: Cohort, row: int, start_us: int) -> F32:
    layout = cohort.layout
    start = slots_at(layout, start_us)
    window: F32 = cohort.rings.gather(np.array([row]), start, layout.window)[0]
    return window
