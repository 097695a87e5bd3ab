"""What is told of an alert: its window, model, records and decision."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from fleetpulse.effects import F32, I64, ScoreRows
from fleetpulse.layout import Layout
from fleetpulse.profile import Profile
from fleetpulse.reads import AlertRow, StoredAlert
from fleetpulse.wire import decode_block, decode_telemetry, kind_of

SCORES_SHOWN: Final = 12
"""Of the run of scores that led to the alert."""


@dataclass(frozen=True, slots=True)
class ShownScore:
    """One window's score on the way to the alert."""

    window_end_us: int
    score: float
    over: bool


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A record that holds samples of the window. late: live has left some of them out."""

    offset: int
    log_time_us: int
    first_us: int
    last_us: int
    late: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """An alert as the log gives it once more. window: float32 [size, channels], NaN where absent.

    run: what gives it. decided_at: offset of the record that closed the window; of next, which
    takes samples in order of their time: of the window's record that came last. scores: oldest
    first, the last one raised the alert.
    """

    stored: StoredAlert
    run: Literal["live", "next"]
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
        return np.float32(self.score).tobytes() == np.float32(self.stored.row.score).tobytes()


def shown(rows: ScoreRows) -> list[ShownScore]:
    """Scores, for people."""
    exact = rows.scores.astype(np.float64)
    return [
        ShownScore(int(end), float(score), bool(over))
        for end, score, over in zip(
            rows.window_end_us, rows.scores, exact > rows.threshold, strict=True
        )
    ]


def led_to(alert: AlertRow, scores: list[ShownScore]) -> tuple[ShownScore, ...]:
    """The last scores up to the one that raised the alert."""
    return tuple(
        [each for each in scores if each.window_end_us <= alert.window_end_us][-SCORES_SHOWN:]
    )


def slots_at(layout: Layout, *slot_us: int) -> I64:
    """The slots whose times, cut to microseconds, these are."""
    return layout.slots_of(np.array(slot_us) * 1000 + 999)


def in_window(layout: Layout, alert: AlertRow, range_us: tuple[int, int]) -> bool:
    """Whether one of a record's samples lies in a slot of the window, the one nearest to it."""
    first, last = layout.slots_of(np.array(range_us) * 1000)
    start, after = slots_at(layout, alert.window_start_us, alert.window_end_us)
    return bool(first < after and last >= start)


def range_of(value: bytes) -> tuple[int, int]:
    """Event times of a record's first and last sample; an accepted record can be read."""
    if kind_of(value) == "telemetry":
        at_us = decode_telemetry(value).ts * 1000
        return at_us, at_us
    block = decode_block(value)
    return block.t0_us, block.t0_us + (block.count - 1) * block.period_ns // 1000
