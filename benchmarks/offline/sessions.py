"""Sessions of a device: spans of active seconds, each described straight from its values."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.offline.cells import Series
from benchmarks.offline.rollups import Rollup, Stats, stats_of
from benchmarks.offline.rules import SECOND_NS, Rules
from benchmarks.offline.scores import Score


@dataclass(frozen=True, slots=True)
class Session:
    """A session's beginning, and of one that has ended its end and what was measured."""

    session_id: str
    started_at_us: int
    ended_at_us: int | None
    channels: tuple[Stats, ...] = ()
    scores: Stats | None = None
    score_over: int = 0


def sessions_of(
    key: bytes,
    rules: Rules,
    series: Series,
    scores: list[Score],
    rollups: dict[tuple[int, int], Rollup],
    *,
    ended: bool,
) -> list[Session]:
    """Sessions of a device under one profile; ended: it went on under another."""
    if rules.session_channel is None:
        return []
    channel = rules.channels.index(rules.session_channel)
    active = [
        second
        for (resolution_s, second), rollup in sorted(rollups.items())
        if resolution_s == 1
        and rollup.channels[channel].count
        and rollup.channels[channel].max > rules.session_above
    ]
    breaks = [settled * rules.period_ns // SECOND_NS for settled in series.settled_at_silence]
    settled_s = series.settled * rules.period_ns // SECOND_NS
    found = []
    for first, last, broken in _spans(active, breaks, rules.session_gap_s):
        start_us = first * 1_000_000
        name = hashlib.sha256(f"{key.decode()}/{rules.ref}/{start_us}".encode()).hexdigest()[:32]
        if broken or ended or settled_s > last + rules.session_gap_s:
            found.append(_summed(name, rules, series, scores, rollups, (first, last)))
        else:
            found.append(Session(name, start_us, None))
    return found


def _spans(active: list[int], breaks: list[int], gap_s: int) -> Iterator[tuple[int, int, bool]]:
    """First and last active second of each session, and whether more than time ended it.

    A break lies before the second in which the settled slot was by then.
    """
    events = sorted([(second, 1) for second in active] + [(second, 0) for second in breaks])
    first = last = None
    for second, is_active in events:
        if first is not None and last is not None and (not is_active or second > last + gap_s):
            yield first, last, True
            first = last = None
        if is_active:
            first, last = second if first is None else first, second
    if first is not None and last is not None:
        yield first, last, False


def _summed(
    name: str,
    rules: Rules,
    series: Series,
    scores: list[Score],
    rollups: dict[tuple[int, int], Rollup],
    span: tuple[int, int],
) -> Session:
    first, last = span
    second_of = series.slots * rules.period_ns // SECOND_NS
    i, j = np.searchsorted(second_of, [first, last + 1])
    values = np.array(
        [
            score.score
            for score in scores
            if first <= (second := (score.end_slot - 1) * rules.period_ns // SECOND_NS) <= last
            and (1, second) in rollups
        ],
        np.float64,
    )
    return Session(
        name,
        first * 1_000_000,
        (last + 1) * 1_000_000,
        tuple(stats_of(column) for column in series.values[i:j].T),
        stats_of(values),
        int((values > rules.threshold).sum()),
    )
