"""What a shard tells the live hub of its fleet: of each device the newest, until it is told.

Steps of a backlog say the same of a device many times over; the hub wants it once.
"""

from collections.abc import Sequence
from itertools import chain, count
from typing import Final, NamedTuple

import numpy as np

from fleetpulse.effects import F32, I64, Effects, Keys, ScoreRows
from fleetpulse.live import LivePicture

DEVICES_MAX: Final = 100_000
"""Devices heard, and devices scored: a picture that has so many is due."""
LATENCIES_MAX: Final = 2048
"""Of one picture."""
REPLAY_US: Final = 60_000_000
"""Windows that ended longer ago are history being replayed, not latency."""


class Decided(NamedTuple):
    """Of one step, what the page shows. decided_us: wall clock."""

    decided_us: int
    scores: list[ScoreRows]
    heard: list[Keys]
    """Devices whose seconds closed."""


def decided(effects: Effects, decided_us: int) -> Decided | None:
    """What the page shows of them, or None. Called in the shard's loop: copies no rows."""
    heard = [rows.devices for rows in effects.rollups if rows.resolution == "second"]
    if not heard and not effects.scores:
        return None
    return Decided(decided_us, effects.scores[:], heard)


class Picture:
    """Takes steps in their order. For one thread, which replaces it once it is told or full."""

    def __init__(self) -> None:
        self._row_of: dict[bytes, int] = {}
        """Of a device's newest score."""
        self._heard: dict[bytes, None] = {}
        self._scores = np.empty(0, np.float32)
        self._thresholds = np.empty(0, np.float32)
        self._score_us = np.empty(0, np.int64)
        self._latencies_ms = np.empty(0, np.float32)

    def take(self, steps: Sequence[Decided]) -> None:
        """What came since the last call."""
        rows = [each for step in steps for each in step.scores]
        if rows:
            stamps = [step.decided_us for step in steps for _ in step.scores]
            self._take_scores(rows, np.array(stamps, np.int64))
        self._heard.update(dict.fromkeys(chain.from_iterable(chain(*(s.heard for s in steps)))))

    @property
    def full(self) -> bool:
        """Whether it is at its bound."""
        return max(len(self._row_of), len(self._heard)) >= DEVICES_MAX

    def forget(self, keys: Sequence[bytes]) -> None:
        """Devices that were deleted: the hub must not hear of them after it heard that."""
        for key in keys:
            self._row_of.pop(key, None)
            self._heard.pop(key, None)

    def drawn(self) -> LivePicture:
        """All of it, as of now."""
        self._compact()
        unscored = [key for key in self._heard if key not in self._row_of]
        return LivePicture(
            keys=[*self._row_of, *unscored],
            scores=self._scores,
            thresholds=self._thresholds,
            score_us=self._score_us,
            latencies_ms=self._latencies_ms,
        )

    def _take_scores(self, rows: Sequence[ScoreRows], decided_us: I64) -> None:
        counts = [len(each.devices) for each in rows]
        ends_us = np.concatenate([each.window_end_us for each in rows])
        thresholds = np.repeat(np.array([each.threshold for each in rows], np.float32), counts)
        devices = chain.from_iterable(each.devices for each in rows)
        self._row_of.update(zip(devices, count(len(self._scores)), strict=False))
        self._scores = np.concatenate([self._scores, *(each.scores for each in rows)])
        self._thresholds = np.concatenate([self._thresholds, thresholds])
        self._score_us = np.concatenate([self._score_us, ends_us])
        behind_us = np.repeat(decided_us, counts) - ends_us
        live = behind_us[(behind_us >= 0) & (behind_us < REPLAY_US)]
        latencies_ms = (live / 1000.0).astype(np.float32)
        self._latencies_ms = _thinned(np.concatenate([self._latencies_ms, latencies_ms]))
        if len(self._scores) > 4096 + 2 * len(self._row_of):
            self._compact()

    def _compact(self) -> None:
        if len(self._scores) == len(self._row_of):
            return
        newest = np.fromiter(self._row_of.values(), np.intp, len(self._row_of))
        self._scores = self._scores[newest]
        self._thresholds = self._thresholds[newest]
        self._score_us = self._score_us[newest]
        self._row_of = dict(zip(self._row_of, range(len(newest)), strict=True))


def _thinned(latencies_ms: F32) -> F32:
    """Every nth, so that all devices and moments keep their share."""
    return latencies_ms[:: -(-len(latencies_ms) // LATENCIES_MAX) or 1]
