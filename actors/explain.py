"""Why an alert was raised: its window, model, records and decision, computed again from the log."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from actors.rerun import Again, Span
from fleetpulse.cohort import Cohort
from fleetpulse.effects import F32, I64, ScoreRows
from fleetpulse.engine import Engine
from fleetpulse.errors import InputError
from fleetpulse.identity import DeviceKey, partition_of
from fleetpulse.layout import Layout
from fleetpulse.ports import RecordBatch
from fleetpulse.profile import Profile
from fleetpulse.reads import AlertRow
from fleetpulse.rerun import Turn, engine_at, rerun
from fleetpulse.wire import decode_block, decode_telemetry, kind_of

SCORES_SHOWN: Final = 12
"""Of the run of scores that led to the alert."""
_EVER_US: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class ShownScore:
    """One window's score on the way to the alert."""

    window_end_us: int
    score: float
    over: bool


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A record that holds samples of the window."""

    offset: int
    log_time_us: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """An alert as the log gives it once more. window: float32 [size, channels], NaN where absent.

    decided_at: offset of the record that closed the window. scores: oldest first, the last one
    raised the alert.
    """

    stored: AlertRow
    profile: Profile
    partition: int
    window: F32
    records: tuple[SourceRecord, ...]
    decided_at: int
    score: float
    scores: tuple[ShownScore, ...]

    @property
    def same_bits(self) -> bool:
        """Whether the score is that of the database, bit for bit."""
        return np.float32(self.score).tobytes() == np.float32(self.stored.score).tobytes()


def explain(again: Again, alert: AlertRow) -> Explanation:
    """Run the alert's device again, first from shortly before, then from the log's beginning.

    Raises InputError 404 when what is retained of the log does not give the alert.
    """
    key = DeviceKey(alert.tenant, alert.device_id).encode()
    partition = partition_of(key, again.partitions_total)
    first, end = again.log.bounds(partition)
    whole = Span.whole(again.log, partition, end)
    profile = _known_profiles(again, partition).get(alert.profile)
    recent = Span.since(again.log, partition, _begin_us(profile, alert), end)
    for span in dict.fromkeys((recent, whole)):
        found = _Rerun(again, span, key, alert).explanation()
        if found is not None:
            return found
    raise InputError(
        "alert_id",
        f"is not in what is left of partition {partition}, from offset {first} on",
        status=404,
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

    def __init__(self, again: Again, span: Span, key: bytes, alert: AlertRow) -> None:
        self._again, self._span, self._key, self._alert = again, span, key, alert
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
            self._scores += _shown(rows)
        if batch.keys[0] != self._key or turn.effects.dead:
            return
        first_us, last_us = _range_us(batch.values[0])
        if self._in_window(first_us, last_us):
            offset, log_time_us = int(batch.offsets[0]), int(batch.log_time_us[0])
            self._records.append(SourceRecord(offset, log_time_us, first_us, last_us))

    def _in_window(self, first_us: int, last_us: int) -> bool:
        """Whether one of the samples lies in a slot of the window, the one nearest to its time."""
        place = self._engine.directory.find(self._key)
        if place is None:
            return False
        begin, end = self._alert.window_start_us, self._alert.window_end_us
        layout = place[0].layout
        first, last = layout.slots_of(np.array([first_us, last_us]) * 1000)
        start, after = _slots_at(layout, begin, end)
        return bool(first < after and last >= start)

    def _explained(self, decided_at: int, score: float) -> Explanation:
        place = self._engine.directory.find(self._key)
        assert place is not None, "a device without a place raised an alert"
        cohort, row = place
        end_us = self._alert.window_end_us
        upto = [each for each in self._scores if each.window_end_us <= end_us]
        return Explanation(
            stored=self._alert,
            profile=cohort.profile,
            partition=self._span.partition,
            window=_window(cohort, row, self._alert.window_start_us),
            records=tuple(self._records),
            decided_at=decided_at,
            score=score,
            scores=tuple(upto[-SCORES_SHOWN:]),
        )


def _window(cohort: Cohort, row: int, start_us: int) -> F32:
    layout = cohort.layout
    start = _slots_at(layout, start_us)
    window: F32 = cohort.rings.gather(np.array([row]), start, layout.window)[0]
    return window


def _slots_at(layout: Layout, *slot_us: int) -> I64:
    """The slots whose times, cut to microseconds, these are."""
    return layout.slots_of(np.array(slot_us) * 1000 + 999)


def _shown(rows: ScoreRows) -> list[ShownScore]:
    exact = rows.scores.astype(np.float64)
    return [
        ShownScore(int(end), float(score), bool(over))
        for end, score, over in zip(
            rows.window_end_us, rows.scores, exact > rows.threshold, strict=True
        )
    ]


def _range_us(value: bytes) -> tuple[int, int]:
    """Event times of a record's first and last sample; an accepted record can be read."""
    if kind_of(value) == "telemetry":
        at_us = decode_telemetry(value).ts * 1000
        return at_us, at_us
    block = decode_block(value)
    return block.t0_us, block.t0_us + (block.count - 1) * block.period_ns // 1000
