"""Sends a fleet's frames when they are due: the last sample of a frame is measured just then."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.fleet import Fleet
from simulator.framing import Frames
from simulator.targets.target import Target

_TICK_S: Final = 0.005
"""Frames that are due within this time are sent together."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was offered. behind_ms_max: how late a frame was handed over at worst."""

    rounds: int
    seconds: float
    behind_ms_max: float


class Pacer:
    """Runs a fleet against a target in one thread."""

    def __init__(self, fleet: Fleet, target: Target, stop: threading.Event) -> None:
        self._fleet, self._target, self._stop = fleet, target, stop
        self._behind_us = 0

    def run(self, rounds: int | None, progress: Callable[[int], None]) -> Run:
        """Send this many rounds, without end if None; `progress` is told each finished round."""
        begun = time.monotonic()
        number = 0
        while (rounds is None or number < rounds) and not self._stop.is_set():
            self._send_when_due(self._fleet.frames(number))
            number += 1
            progress(number)
        rest = self._fleet.remaining()
        if rest and not self._stop.is_set():
            self._send_when_due(rest)
        return Run(number, time.monotonic() - begun, self._behind_us / 1000)

    def _send_when_due(self, frames: Frames) -> None:
        sent = 0
        while sent < len(frames) and not self._stop.is_set():
            now_us = time.time_ns() // 1000
            due = int(np.searchsorted(frames.due_us, now_us, "right"))
            if due > sent:
                self._behind_us = max(self._behind_us, now_us - int(frames.due_us[sent]))
                self._target.send(frames.part(sent, due))
                sent = due
                self._stop.wait(_TICK_S)
            else:
                self._stop.wait((int(frames.due_us[sent]) - now_us) / 1e6)
