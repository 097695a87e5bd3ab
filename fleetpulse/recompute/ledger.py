"""What one run said about one device, as far as a range of time touches it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from fleetpulse.effects import (
    RESOLUTION_S,
    AlertEvent,
    Effects,
    RollupRows,
    ScoreRows,
    SessionEvent,
    taken,
)
from fleetpulse.identity import DeviceKey
from fleetpulse.recompute.ranges import TimeRange

Rows = TypeVar("Rows", ScoreRows, RollupRows)


@dataclass(slots=True)
class AlertLife:
    """An alert as its events told it."""

    raised: AlertEvent
    cleared: AlertEvent | None = None

    @property
    def last(self) -> AlertEvent:
        """Its newest event."""
        return self.cleared or self.raised

    @property
    def last_us(self) -> int:
        """When it was cleared; far in the future while it is open."""
        return self.cleared.at_us if self.cleared else 1 << 62


@dataclass(slots=True)
class Ledger:
    """Filled effect by effect."""

    key: bytes
    touched: TimeRange
    done_until_us: int = 0
    """What ended earlier was promoted before."""
    scores: list[ScoreRows] = field(default_factory=list)
    rollups: list[RollupRows] = field(default_factory=list)
    alerts: dict[str, AlertLife] = field(default_factory=dict)
    sessions: dict[str, SessionEvent] = field(default_factory=dict)
    """The newest event of each: how it began, or all of it."""
    scored: bool = True
    """False: without all that scores made."""

    def take(self, effects: Effects) -> None:
        """Keep what is this device's and touched by the range; all alerts and sessions."""
        for scores in effects.scores:
            self.scores += self._touched(scores, scores.window_start_us, scores.window_end_us)
        for rows in effects.rollups:
            end_us = rows.bucket_us + RESOLUTION_S[rows.resolution] * 1_000_000
            self.rollups += self._touched(rows, rows.bucket_us, end_us)
        name = DeviceKey.decode(self.key)
        for event in effects.alerts:
            if (event.tenant, event.device_id) != name:
                continue
            if event.kind == "raised":
                self.alerts[event.alert_id] = AlertLife(event)
            elif event.alert_id in self.alerts:
                self.alerts[event.alert_id].cleared = event
        for session in effects.sessions:
            if (session.tenant, session.device_id) == name:
                self.sessions[session.session_id] = session

    def clear(self) -> None:
        """The device was deleted."""
        self.scores, self.rollups, self.alerts, self.sessions = [], [], {}, {}

    def within(self, touched: TimeRange) -> "Ledger":
        """The part of it that a shorter range touches."""
        part = Ledger(
            self.key, touched, self.done_until_us, alerts=self.alerts, sessions=self.sessions
        )
        part.take(Effects(scores=self.scores, rollups=self.rollups))
        return part

    def without_scores(self) -> "Ledger":
        """What the values alone make of it."""
        rollups = [_unscored(rows) for rows in self.rollups]
        sessions = {
            name: replace(each, summary=each.summary and replace(each.summary, **_NO_SCORES))
            for name, each in self.sessions.items()
        }
        return replace(self, scores=[], rollups=rollups, alerts={}, sessions=sessions, scored=False)

    def _touched(self, rows: Rows, start_us: np.ndarray, end_us: np.ndarray) -> list[Rows]:
        mine = np.fromiter((key == self.key for key in rows.devices), bool, len(rows.devices))
        mine &= (start_us < self.touched.to_us) & (
            end_us > max(self.touched.from_us, self.done_until_us)
        )
        keep = np.flatnonzero(mine)
        return [taken(rows, keep)] if len(keep) else []


_NAN = float("nan")
_NO_SCORES: dict[str, Any] = {
    "score_count": 0,
    "score_over": 0,
    **dict.fromkeys(("score_min", "score_max", "score_mean", "score_std"), _NAN),
}


def _unscored(rows: RollupRows) -> RollupRows:
    columns = {name: np.full_like(getattr(rows, name), value) for name, value in _NO_SCORES.items()}
    return replace(rows, **columns)


def changed_scores(before: Iterable[ScoreRows], after: Iterable[ScoreRows]) -> list[ScoreRows]:
    """Rows of `after` that `before` does not have with the same bits."""
    return _changed(list(before), list(after))


def changed_rollups(before: Iterable[RollupRows], after: Iterable[RollupRows]) -> list[RollupRows]:
    """Rows of `after` that `before` does not have with the same bits."""
    return _changed(list(before), list(after))


def _changed(before: list[Rows], after: list[Rows]) -> list[Rows]:
    known = {bits for rows in before for bits in _bits(rows)}
    found = [
        (rows, np.array([i for i, bits in enumerate(_bits(rows)) if bits not in known], np.int64))
        for rows in after
    ]
    return [taken(rows, keep) for rows, keep in found if len(keep)]


def _bits(rows: ScoreRows | RollupRows) -> list[bytes]:
    """One value per row that is equal exactly if the rows are."""
    columns = [
        np.ascontiguousarray(column).view(np.uint8).reshape(len(rows.devices), -1)
        for spec in fields(rows)
        if isinstance(column := getattr(rows, spec.name), np.ndarray)
    ]
    kind = f"{rows.profile.ref} {getattr(rows, 'resolution', 'score')} ".encode()
    return [kind + row.tobytes() for row in np.hstack(columns)]
