"""Who falls ill when: the ground truth, known before the first sample is made."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from fleetpulse.effects import F64, I64
from simulator.machine import CHANNELS, VIBRATION


class Fault(StrEnum):
    """Faults of a machine or its sensors. Transport faults are in `transport.py`."""

    IMBALANCE = "imbalance"
    BEARING = "bearing"
    DRIFT = "drift"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Episode:
    """One illness of one device; samples are counted per device, the end is exclusive."""

    device: int
    fault: Fault
    channel: int
    """Of drift and stuck; the other faults touch all vibration channels."""
    severity: float
    """In [0.5, 1]."""
    first_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """How often devices fall ill. Time is cut into rounds; in each a device is ill at most once."""

    probability: float = 0.0
    """Per device and round."""
    round_s: float = 60.0
    duration_s: tuple[float, float] = (5.0, 15.0)
    healthy_start_s: float = 3.0
    """Nobody falls ill this early in a round."""
    faults: tuple[Fault, ...] = tuple(Fault)


class Schedule:
    """Episodes as a function of (seed, round), so that a run may go on for ever."""

    def __init__(self, plan: FaultPlan, devices: int, rate_hz: float, seed: int) -> None:
        self._plan, self._devices, self._rate_hz, self._seed = plan, devices, rate_hz, seed
        self._round_samples = round(plan.round_s * rate_hz)
        self._cache: dict[int, list[Episode]] = {}

    def until(self, end_sample: int) -> list[Episode]:
        """Every episode that begins before this sample."""
        if not self._plan.probability:
            return []
        rounds = range(-(-end_sample // self._round_samples))
        episodes = [episode for number in rounds for episode in self._round(number)]
        return [episode for episode in episodes if episode.first_sample < end_sample]

    def touching(self, first_sample: int, end_sample: int) -> list[Episode]:
        """Episodes that overlap this range of samples."""
        if not self._plan.probability:
            return []
        rounds = range(first_sample // self._round_samples, -(-end_sample // self._round_samples))
        return [
            episode
            for number in rounds
            for episode in self._remembered(number)
            if episode.first_sample < end_sample and first_sample < episode.end_sample
        ]

    def _remembered(self, number: int) -> list[Episode]:
        if number not in self._cache:
            self._cache = {key: self._cache[key] for key in self._cache if key >= number - 1}
            self._cache[number] = self._round(number)
        return self._cache[number]

    def _round(self, number: int) -> list[Episode]:
        plan = self._plan
        rng = np.random.default_rng([self._seed, 3, number])
        draws = rng.random((self._devices, 6))
        ill: I64 = np.flatnonzero(draws[:, 0] < plan.probability)
        return [self._episode(number, int(device), draws[device]) for device in ill]

    def _episode(self, number: int, device: int, draw: F64) -> Episode:
        plan = self._plan
        fault = plan.faults[int(draw[1] * len(plan.faults))]
        shortest, longest = plan.duration_s
        duration_s = shortest + (longest - shortest) * draw[2]
        latest_s = max(plan.round_s - duration_s, plan.healthy_start_s)
        start_s = plan.healthy_start_s + (latest_s - plan.healthy_start_s) * draw[3]
        first = VIBRATION if fault is Fault.DRIFT else 0
        first_sample = number * self._round_samples + round(start_s * self._rate_hz)
        return Episode(
            device=device,
            fault=fault,
            channel=first + int(draw[4] * (len(CHANNELS) - first)),
            severity=0.5 + 0.5 * float(draw[5]),
            first_sample=first_sample,
            end_sample=min(
                first_sample + round(duration_s * self._rate_hz),
                (number + 1) * self._round_samples,
            ),
        )
