"""Windows of simulated machines: healthy ones to fit on, ill ones to say what is detected."""

from typing import Final

import numpy as np

from fleetpulse.effects import F32, F64
from models.train.spectral import CHANNELS, LEVEL_FROM, RATE_HZ, WINDOW
from simulator.faults import FaultInjector
from simulator.machine import Machines
from simulator.schedule import Episode, Fault

HOP: Final = WINDOW // 2
_CHUNK: Final = 4000
_FRAMES: Final = 100_000
"""Windows are drawn from this many of each device: 35 hours."""
_SHOWN: Final = 8
"""Windows after an onset that are looked at: 5.8 seconds."""


def healthy_windows(seed: int, devices: int, count: int) -> F32:
    """Windows of random devices at random times, float32 [count, 256, 6]."""
    machines = Machines(devices, RATE_HZ, WINDOW, seed)
    rng = np.random.default_rng([seed, 6])
    sizes = [min(_CHUNK, count - done) for done in range(0, count, _CHUNK)]
    return np.concatenate(
        [
            machines.frames(rng.integers(0, devices, size), rng.integers(0, _FRAMES, size))
            for size in sizes
        ]
    )


def ill_windows(fault: Fault, seed: int, devices: int) -> tuple[F32, F64]:
    """The windows around an onset, and how long after it each ends.

    -> float32 [devices, 8, 256, 6] and seconds, float64 [devices, 8]; each device is ill once.
    """
    machines = Machines(devices, RATE_HZ, WINDOW, seed)
    injector = FaultInjector(machines)
    rng = np.random.default_rng([seed, 7])
    frames = 2 + _SHOWN // 2
    everyone = np.arange(devices)
    signal = np.concatenate(
        [machines.frames(everyone, np.full(devices, at)) for at in range(frames)], 1
    )
    onset = rng.integers(HOP, WINDOW, devices)
    for device in range(devices):
        channel = int(rng.integers(LEVEL_FROM if fault is Fault.DRIFT else 0, CHANNELS))
        severity = float(rng.uniform(0.5, 1.0))
        episode = Episode(device, fault, channel, severity, int(onset[device]), frames * WINDOW)
        for at in range(frames):
            injector.apply(signal[device, at * WINDOW : (at + 1) * WINDOW], at, episode)
    starts = HOP * np.arange(1, _SHOWN + 1)
    windows = np.stack([signal[:, at : at + WINDOW] for at in starts], 1)
    return windows, (starts + WINDOW - onset[:, None]) / RATE_HZ
