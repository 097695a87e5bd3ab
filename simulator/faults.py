"""What an episode does to a machine's samples, in place."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleetpulse.effects import F32, F64
from simulator.machine import CHANNELS, VIBRATION, Machines
from simulator.schedule import Episode, Fault

_ONSET_S: Final = 0.2
"""A fault grows to its full size within this time."""
_DRIFT_PER_S: Final = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 0.25])
_BEARING_PER_REVOLUTION: Final = 0.4
"""Impulses per revolution of a cage defect."""
_RING_HZ: Final = 72.0
_RING_DECAY_S: Final = 0.02
_VIBRATION_SHARE: Final = np.array([1.0, 0.8, 0.3])


class FaultInjector:
    """Applies episodes to frames that `Machines` made."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines

    def apply(self, samples: F32, frame: int, episode: Episode) -> None:
        """Change the ill part of one frame of the episode's device, [frame_samples, channels]."""
        index = frame * len(samples) + np.arange(len(samples))
        ill = (index >= episode.first_sample) & (index < episode.end_sample)
        if not ill.any():
            return
        time_s = (index[ill] - episode.first_sample) / self._machines.rate_hz
        match episode.fault:
            case Fault.IMBALANCE:
                samples[ill, :VIBRATION] += self._imbalance(frame, ill, time_s, episode)
            case Fault.BEARING:
                samples[ill, :VIBRATION] += self._bearing(time_s, episode)
            case Fault.DRIFT:
                slope = episode.severity * _DRIFT_PER_S[episode.channel]
                samples[ill, episode.channel] += slope * time_s
            case Fault.STUCK:
                samples[ill, episode.channel] = self._value_at_start(episode)

    def _imbalance(self, frame: int, ill: NDArray[np.bool_], time_s: F64, episode: Episode) -> F64:
        device, at = np.array([episode.device]), np.array([frame])
        angle = 2 * np.pi * self._machines.revolutions(device, at)[0][ill]
        size = 4.0 * episode.severity * np.minimum(time_s / _ONSET_S, 1.0)
        turning = np.stack([np.cos(angle), np.sin(angle), np.cos(angle)], -1)
        changed: F64 = size[:, None] * turning * _VIBRATION_SHARE
        return changed

    def _bearing(self, time_s: F64, episode: Episode) -> F64:
        impulse_hz = _BEARING_PER_REVOLUTION * self._machines.shaft_hz[episode.device]
        since_s = np.mod(time_s * impulse_hz, 1.0) / impulse_hz
        ring = np.exp(-since_s / _RING_DECAY_S) * np.cos(2 * np.pi * _RING_HZ * since_s)
        size = 4.0 * episode.severity * np.minimum(time_s / _ONSET_S, 1.0)
        changed: F64 = (size * ring)[:, None] * _VIBRATION_SHARE
        return changed

    def _value_at_start(self, episode: Episode) -> float:
        frame, at = divmod(episode.first_sample, self._machines.frame_samples)
        healthy = self._machines.frames(np.array([episode.device]), np.array([frame]))
        return float(healthy[0, at, episode.channel])


assert len(_DRIFT_PER_S) == len(CHANNELS)
