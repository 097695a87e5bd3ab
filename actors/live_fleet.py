"""The fleet at a glance: each device's newest score, the rates and latencies of the last seconds.

Kept by the live hub, read as copies. Bounded in devices and in memory; no result depends on it.
"""

import time
from collections import deque
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from fleetpulse.effects import F32, I64
from fleetpulse.live import LivePicture, LiveUpdate, ShardStatus

DEVICES_MAX: Final = 200_000
"""Devices listed; when full, the half that was heard longest ago makes room."""
LATENCIES_MAX: Final = 8192
RATE_WINDOW_S: Final = 5.0
LATENCY_WINDOW_US: Final = 10_000_000
SHARD_SILENT_S: Final = 30.0

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """Rates over the last seconds. latency_ms: end of window -> score decided."""

    at_us: int
    samples_per_s: float
    windows_per_s: float
    records_per_s: float
    alerts_total: int
    latency_ms_p50: float
    latency_ms_p99: float
    lag: int
    behind_s: float
    """Of the partition that is furthest behind."""
    shards: tuple[ShardStatus, ...]


@dataclass(frozen=True, slots=True)
class FleetTable:
    """One row per device, arrays [n]. NaN score: none yet. heard_us: wall clock."""

    keys: list[bytes]
    scores: F32
    thresholds: F32
    score_us: I64
    heard_us: I64


class LiveFleet:
    """Takes updates; answers a table and a summary."""

    def __init__(self, devices_max: int = DEVICES_MAX) -> None:
        self._max = devices_max
        self._rows: dict[bytes, int] = {}
        self._floats = np.empty((0, 2), np.float32)
        self._times = np.empty((0, 2), np.int64)
        self._latencies: deque[tuple[int, F32]] = deque()
        self._shards: dict[str, ShardStatus] = {}
        self._history: dict[str, deque[tuple[float, ShardStatus]]] = {}

    def take(self, update: LiveUpdate) -> None:
        """One push of a shard."""
        if update.status:
            self._remember(update.status)
        if update.picture:
            self._draw(update.picture)
        if update.forgotten:
            self._forget(update.forgotten)

    def table(self) -> FleetTable:
        """A copy of every device's row."""
        count = len(self._rows)
        floats, times = self._floats[:count].copy(), self._times[:count].copy()
        return FleetTable(list(self._rows), floats[:, 0], floats[:, 1], times[:, 0], times[:, 1])

    def summary(self) -> FleetSummary:
        """The sum over all shards that were heard lately."""
        now_s, now_us = time.monotonic(), time.time_ns() // 1000
        heard = {name: h for name, h in self._history.items() if now_s - h[-1][0] < SHARD_SILENT_S}
        rates = [_rates(history, now_s) for history in heard.values()]
        self._forget_latencies(now_us)
        newest = [values for _, values in self._latencies]
        p50, p99 = np.percentile(np.concatenate(newest), (50, 99)) if newest else (np.nan, np.nan)
        shards = tuple(self._shards[name] for name in sorted(heard))
        return FleetSummary(
            at_us=now_us,
            samples_per_s=sum(rate[0] for rate in rates),
            windows_per_s=sum(rate[1] for rate in rates),
            records_per_s=sum(rate[2] for rate in rates),
            alerts_total=sum(shard.alerts_total for shard in shards),
            latency_ms_p50=float(p50),
            latency_ms_p99=float(p99),
            lag=sum(part.lag for shard in shards for part in shard.partitions),
            behind_s=max(
                (part.behind_s for shard in shards for part in shard.partitions), default=0
            ),
            shards=shards,
        )

    def _draw(self, picture: LivePicture) -> None:
        now_us = time.time_ns() // 1000
        at = self._rows_of(picture.keys)
        self._times[at, 1] = now_us
        scored = at[: len(picture.scores)]
        self._floats[scored, 0] = picture.scores
        self._floats[scored, 1] = picture.thresholds
        self._times[scored, 0] = picture.score_us
        if len(picture.latencies_ms):
            self._latencies.append((now_us, picture.latencies_ms))
        self._forget_latencies(now_us)

    def _remember(self, status: ShardStatus) -> None:
        now_s = time.monotonic()
        self._shards[status.shard] = status
        history = self._history.setdefault(status.shard, deque())
        if history and status.samples_total < history[-1][1].samples_total:
            history.clear()  # the shard restarted and counts anew
        history.append((now_s, status))
        while history[0][0] < now_s - RATE_WINDOW_S and len(history) > 2:
            history.popleft()

    def _forget_latencies(self, now_us: int) -> None:
        kept = self._latencies
        held = sum(len(values) for _, values in kept)
        while kept and (held > LATENCIES_MAX or kept[0][0] < now_us - LATENCY_WINDOW_US):
            held -= len(kept.popleft()[1])

    def _rows_of(self, keys: list[bytes]) -> NDArray[np.intp]:
        new = [key for key in keys if key not in self._rows]
        while self._rows and len(self._rows) + len(new) > self._max:
            self._make_room()  # which may forget a device of these very keys
            new = [key for key in keys if key not in self._rows]
        if new:
            self._add(new)
        return np.fromiter((self._rows[key] for key in keys), np.intp, len(keys))

    def _add(self, keys: list[bytes]) -> None:
        first = len(self._rows)
        end = first + len(keys)
        if end > len(self._floats):
            grown = max(1024, 2 * end)
            self._floats = _longer(self._floats, grown)
            self._times = _longer(self._times, grown)
        self._floats[first:end] = np.nan
        self._times[first:end] = 0
        self._rows.update(zip(keys, range(first, end), strict=True))

    def _make_room(self) -> None:
        count = len(self._rows)
        self._keep(np.sort(np.argsort(self._times[:count, 1])[(count + 1) // 2 :]))

    def _forget(self, keys: list[bytes]) -> None:
        gone = set(keys)
        self._keep(np.array([row for key, row in self._rows.items() if key not in gone], np.intp))

    def _keep(self, newest: NDArray[np.intp]) -> None:
        keys = list(self._rows)
        self._floats, self._times = self._floats[newest], self._times[newest]
        self._rows = {keys[old]: row for row, old in enumerate(newest)}


def _rates(history: deque[tuple[float, ShardStatus]], now_s: float) -> tuple[float, float, float]:
    (from_s, first), (to_s, last) = history[0], history[-1]
    if now_s - to_s > RATE_WINDOW_S or to_s <= from_s:
        return 0.0, 0.0, 0.0
    elapsed_s = to_s - from_s
    return (
        (last.samples_total - first.samples_total) / elapsed_s,
        (last.windows_total - first.windows_total) / elapsed_s,
        (last.records_total - first.records_total) / elapsed_s,
    )


def _longer(array: NDArray[T], length: int) -> NDArray[T]:
    grown = np.empty((length, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
