"""Which devices misbehave, by what their records were refused for: bounded, of the last minutes."""

import time
from collections.abc import Callable
from heapq import nlargest
from typing import Final

from fleetpulse.live import Cause

HALF_WINDOW_S: Final = 150.0
"""Counts are those of the last 2.5 to 5 minutes."""
ENTRIES_MAX: Final = 2_000
LISTED_MAX: Final = 20
NAME_CHARACTERS_MAX: Final = 257

_Counts = dict[tuple[bytes, str], list[int]]
"""(record key, cause) -> count, wall clock of the first in microseconds."""


class Causes:
    """Counts by device and cause. One thread notes, any thread asks."""

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self._newest: _Counts = {}
        self._before: _Counts = {}
        self._begun_ns = 0

    def note(self, key: bytes, cause: str) -> None:
        """One more record of this device was refused."""
        now_ns = self._clock_ns()
        if now_ns - self._begun_ns > HALF_WINDOW_S * 1e9:
            self._turn(now_ns)
        name = key[:NAME_CHARACTERS_MAX], cause
        entry = self._newest.get(name)
        if entry is not None:
            entry[0] += 1
            return
        if len(self._newest) >= ENTRIES_MAX:
            self._make_room()
        since_us = self._before[name][1] if name in self._before else now_ns // 1000
        self._newest[name] = [1, since_us]

    def listed(self) -> tuple[Cause, ...]:
        """The most frequent ones first."""
        age_s = (self._clock_ns() - self._begun_ns) / 1e9
        total: dict[tuple[bytes, str], tuple[int, int]] = {}
        # Copies in one step each: another thread notes meanwhile.
        for age, counts in ((0, self._newest.copy()), (1, self._before.copy())):
            if age_s > (2 - age) * HALF_WINDOW_S:
                continue
            for name, (count, since_us) in counts.items():
                known, first_us = total.get(name, (0, since_us))
                total[name] = known + count, min(first_us, since_us)
        worst = nlargest(LISTED_MAX, total.items(), key=lambda item: item[1][0])
        return tuple(
            Cause(cause, count, since_us, device=key.decode(errors="replace"))
            for (key, cause), (count, since_us) in worst
        )

    def _turn(self, now_ns: int) -> None:
        recent = now_ns - self._begun_ns < 2 * HALF_WINDOW_S * 1e9
        self._before = self._newest if recent else {}
        self._newest = {}
        self._begun_ns = now_ns

    def _make_room(self) -> None:
        """Names that came once or twice may be a flood of names: the frequent ones stay."""
        kept = nlargest(ENTRIES_MAX // 2, self._newest.items(), key=lambda item: item[1][0])
        self._newest = dict(kept)
