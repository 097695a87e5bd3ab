"""A shard's own counters. Written by the loop, read by anyone."""

import time
from dataclasses import dataclass, field
from itertools import chain

from actors.causes import Causes
from fleetpulse.effects import Effects
from fleetpulse.ports import RecordBatch

RATE_WINDOW_S = 2.0


@dataclass(slots=True)
class BusyShare:
    """Share of the last seconds that was spent with something."""

    fraction: float = 0.0
    _busy_s: float = 0.0
    _since_s: float = 0.0

    def spend(self, busy_s: float) -> None:
        """Some time was; 0 only looks at the clock."""
        self._busy_s += busy_s
        now_s = time.monotonic()
        elapsed_s = now_s - self._since_s
        if elapsed_s > RATE_WINDOW_S:
            self.fraction = min(1.0, self._busy_s / elapsed_s)
            self._busy_s, self._since_s = 0.0, now_s


@dataclass(slots=True)
class Meter:
    """Totals since the actor's start, over all incarnations."""

    shard: str
    pid: int
    records_total: int = 0
    samples_total: int = 0
    windows_total: int = 0
    alerts_total: int = 0
    dead_total: int = 0
    late_total: int = 0
    busy: BusyShare = field(default_factory=BusyShare)
    """The loop's, with records."""
    causes: Causes = field(default_factory=Causes)
    """Devices whose records are refused."""
    step_ms: float = 0.0
    """The newest cut's step, scoring and conclusion."""

    def polled(self, batch: RecordBatch) -> None:
        """A poll came back."""
        self.records_total += len(batch)
        self.busy.spend(0.0)

    def processed(self, effects: Effects, samples: int, busy_s: float) -> None:
        """The engine took a cut."""
        self.samples_total += samples
        self.windows_total += sum(len(rows.scores) for rows in effects.scores)
        self.alerts_total += sum(event.kind == "raised" for event in effects.alerts)
        self.dead_total += len(effects.dead)
        self.late_total += len(effects.late)
        self.step_ms = busy_s * 1000
        self.busy.spend(busy_s)
        for rejection in chain(effects.dead, effects.late):
            self.causes.note(rejection.key, rejection.reason.value)
