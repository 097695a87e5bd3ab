"""What a network does to frames: loses a device for a while, delays, reorders, repeats."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleetpulse.effects import F64, I64
from simulator.framing import Frames

_SECOND_US: Final = 1_000_000
_LATE_BEYOND_S: Final = 1.0
"""Late frames miss the lateness bound by this much to three times as much."""


@dataclass(frozen=True, slots=True)
class TransportPlan:
    """Shares of frames that the network touches; all 0 is a perfect network."""

    reordered: float = 0.0
    """Arrive after younger frames of their device, but within the lateness bound."""
    duplicated: float = 0.0
    """Arrive a second time."""
    late: float = 0.0
    """Arrive after the lateness bound."""
    dropout: float = 0.0
    """Share of devices and seconds in which a silence begins."""
    dropout_s: float = 3.0
    lateness_s: float = 2.0

    @property
    def perfect(self) -> bool:
        """True when every frame arrives once and in order."""
        return not (self.reordered or self.duplicated or self.late or self.dropout)


@dataclass(slots=True)
class TransportTruth:
    """Frames that the network touched so far."""

    reordered: int = 0
    duplicated: int = 0
    late: int = 0
    dropped: int = 0


class Transport:
    """Turns frames as they were measured, round by round, into frames as they arrive."""

    def __init__(self, plan: TransportPlan, devices: int, frame_us: int, seed: int) -> None:
        self._plan, self._devices, self._frame_us, self._seed = plan, devices, frame_us, seed
        self._held: defaultdict[int, list[Frames]] = defaultdict(list)
        self.truth = TransportTruth()

    def arriving(self, number: int, measured: Frames) -> Frames:
        """What is sent in this round: delayed frames of earlier ones too. Call in round order."""
        plan = self._plan
        if plan.perfect:
            return measured
        draws = np.random.default_rng([self._seed, 4, number]).random((len(measured), 4))
        silent = self._silent(number)[measured.device]
        reordered = ~silent & (draws[:, 0] < plan.reordered)
        late = ~silent & ~reordered & (draws[:, 1] < plan.late)
        duplicated = ~silent & (draws[:, 2] < plan.duplicated)
        shortest_s = plan.lateness_s + _LATE_BEYOND_S
        self._hold(number, measured, reordered, draws[:, 3] * plan.lateness_s / 2)
        self._hold(number, measured, late, shortest_s + 2 * _LATE_BEYOND_S * draws[:, 3])
        self._hold(number, measured, duplicated, np.zeros(len(measured)))
        self.truth.dropped += int(silent.sum())
        self.truth.reordered += int(reordered.sum())
        self.truth.late += int(late.sum())
        self.truth.duplicated += int(duplicated.sum())
        on_time = measured.take(np.flatnonzero(~(silent | reordered | late)))
        return Frames.merged([on_time, *self._held.pop(number, [])])

    def remaining(self) -> Frames | None:
        """Frames still held back after the last round; None when there are none."""
        held = [frames for number in sorted(self._held) for frames in self._held[number]]
        self._held.clear()
        return Frames.merged(held) if held else None

    def _hold(self, number: int, measured: Frames, chosen: NDArray[np.bool_], delay_s: F64) -> None:
        rounds = np.maximum(1, (delay_s * _SECOND_US / self._frame_us).astype(np.int64))
        for delay in np.unique(rounds[chosen]):
            rows: I64 = np.flatnonzero(chosen & (rounds == delay))
            held = measured.take(rows)
            due_us = held.due_us + delay * self._frame_us
            self._held[number + int(delay)].append(replace(held, due_us=due_us))

    def _silent(self, number: int) -> NDArray[np.bool_]:
        """Which devices of the fleet are in a silence, bool [devices]."""
        plan = self._plan
        silent = np.zeros(self._devices, np.bool_)
        if plan.dropout:
            second = number * self._frame_us // _SECOND_US
            for begun in range(max(0, second + 1 - round(plan.dropout_s)), second + 1):
                draws = np.random.default_rng([self._seed, 5, begun]).random(self._devices)
                silent |= draws < plan.dropout
        return silent
