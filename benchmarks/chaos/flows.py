"""What must flow without a break: committed scores, progress in PostgreSQL, 202s.

A flow is one partition of one of them, and the times at which it moved.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Event, Thread
from typing import Any

import psycopg

from benchmarks.score_watch import ScoreWatch
from fleetpulse.settings import KafkaSettings

_POLL_S = 0.1
_PROGRESS = "SELECT sink, partition, next_offset FROM progress"


@dataclass(slots=True)
class ProgressWatch:
    """Notes when each PostgreSQL sink moved, in a thread of its own that lives through outages."""

    dsn: str
    moved_us: dict[str, list[int]] = field(default_factory=dict)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Watch from here on."""
        self._thread = Thread(target=self._run, name="progress-watch", daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, list[int]]:
        """End; flow -> epoch microseconds of each move."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        return self.moved_us

    def _run(self) -> None:
        last: dict[str, Any] = {}
        while not self._stop.is_set():
            try:
                with psycopg.connect(self.dsn, autocommit=True, connect_timeout=2) as connection:
                    while not self._stop.wait(_POLL_S):
                        self._look(connection, last)
            except psycopg.Error:
                self._stop.wait(_POLL_S)

    def _look(self, connection: psycopg.Connection[Any], last: dict[str, Any]) -> None:
        rows = connection.execute(_PROGRESS).fetchall()
        now_us = time.time_ns() // 1000
        for sink, partition, next_offset in rows:
            flow = f"{sink} of partition {partition}"
            if last.get(flow) != next_offset:
                last[flow] = next_offset
                self.moved_us.setdefault(flow, []).append(now_us)


@dataclass(slots=True)
class Flows:
    """All of them during one load."""

    scores: ScoreWatch
    progress: ProgressWatch

    @classmethod
    def start(cls, kafka: KafkaSettings, dsn: str) -> "Flows":
        """Watch from here on."""
        flows = cls(ScoreWatch(kafka), ProgressWatch(dsn))
        flows.scores.start()
        flows.progress.start()
        return flows

    def stop(self, accepted_us: Iterable[int]) -> dict[str, list[int]]:
        """End; flow -> sorted times. accepted_us: when requests were answered 202."""
        moved = self.progress.stop()
        for each in self.scores.stop():
            moved.setdefault(f"scores of partition {each.partition}", []).append(each.received_us)
        moved["202"] = sorted(accepted_us)
        return moved


@dataclass(frozen=True, slots=True)
class Standstill:
    """The longest break of any flow. after_s: its part after the cause had ended."""

    flow: str = ""
    seconds: float = 0.0
    after_s: float = 0.0


def longest_standstill(
    flows: dict[str, list[int]], begun_us: int, ended_us: int, until_us: int
) -> Standstill:
    """Between a fault's begin and `until_us`; its cause ended at `ended_us`."""
    longest = Standstill()
    after_s = 0.0
    for flow, times in flows.items():
        inside = [begun_us, *(at for at in times if begun_us < at < until_us), until_us]
        for before, after in pairwise(inside):
            after_s = max(after_s, (after - max(before, ended_us)) / 1e6)
            if (after - before) / 1e6 > longest.seconds:
                longest = Standstill(flow, (after - before) / 1e6)
    return Standstill(longest.flow, longest.seconds, after_s)
