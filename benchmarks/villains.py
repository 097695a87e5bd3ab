"""Devices that misbehave beside a fleet: `python -m benchmarks.villains PLAN.json`.

A process of its own. One sends at a hundred times its rate, one sends bytes that are no frame, one
has a clock of the year 2100. They go on until the process is ended, or for as long as the plan.
"""

import sys
import time
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.plan import LoadPlan
from fleetpulse.effects import Reason
from fleetpulse.identity import DEFAULT_TENANT, DeviceKey
from fleetpulse.settings import load_settings
from simulator.framing import FrameEncoder, Frames
from simulator.targets.kafka import KafkaTarget

FLOOD_TIMES: Final = 100
"""Of a device's rate."""
_GARBAGE: Final = b"\xff" * 100
_YEAR_2100_US: Final = 4_102_444_800_000_000
_TURN_S: Final = 0.02
_CLOSE_S: Final = 10.0


def villains(plan: LoadPlan) -> dict[bytes, Reason]:
    """Key of each, and as what `/health` is to name it."""
    names = {"flood": Reason.OVER_RATE, "noise": Reason.UNDECODABLE, "ahead": Reason.FUTURE}
    return {
        DeviceKey(DEFAULT_TENANT, f"{plan.prefix}-{name}").encode(): reason
        for name, reason in names.items()
    }


class Villains:
    """All three, turn by turn."""

    def __init__(self, plan: LoadPlan) -> None:
        profile = plan.profile
        self._keys = {reason: key for key, reason in villains(plan).items()}
        self._frame_us = plan.frame_ms * 1000
        self._sent = 0
        shape = plan.frame_samples, len(profile.channels)
        self._encoder = FrameEncoder(*shape, profile.period_ns)
        self._samples = np.ones((1, *shape), np.float32)

    def turn(self, begun_us: int, now_us: int) -> Frames:
        """What all of them send since the last turn."""
        due = round((now_us - begun_us) / self._frame_us * FLOOD_TIMES)
        numbers = np.arange(self._sent, due)
        self._sent = due
        t0_us = begun_us + (numbers * self._frame_us / FLOOD_TIMES).astype(np.int64)
        values = self._encoder.encode(
            np.repeat(self._samples, len(numbers), axis=0), t0_us - round(self._frame_us), numbers
        )
        keys = [self._keys[Reason.OVER_RATE]] * len(values)
        future_us, number = np.array([_YEAR_2100_US + now_us - begun_us]), np.array([due])
        values += [_GARBAGE, *self._encoder.encode(self._samples, future_us, number)]
        keys += [self._keys[Reason.UNDECODABLE], self._keys[Reason.FUTURE]]
        column = np.zeros(len(keys), np.int64)
        return Frames(column, column, column, column, keys, values)


def main() -> None:
    """Send from now on."""
    plan = LoadPlan.read(Path(sys.argv[1]))
    target = KafkaTarget(load_settings().kafka, frame_samples=plan.frame_samples)
    crowd, begun_us = Villains(plan), time.time_ns() // 1000
    now_us = begun_us
    while now_us < begun_us + plan.seconds * 1e6:
        time.sleep(_TURN_S)
        now_us = time.time_ns() // 1000
        target.send(crowd.turn(begun_us, now_us))
    target.close(_CLOSE_S)


if __name__ == "__main__":
    main()
