"""What healthy rotating machines measure, as a function of (seed, device, sample index).

Nothing is carried from frame to frame, so any frame can be computed at any time, in columns.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleetpulse.effects import F32, F64, I64

CHANNELS: Final = ("vib_x", "vib_y", "vib_z", "temperature_c", "current_a", "pressure_bar")
VIBRATION: Final = 3
"""The first channels are vibration, in mm/s."""

_HARMONICS: Final = 3
_HARMONIC_SHARE: Final = np.array([1.0, 0.35, 0.15])
_NOISE_STD: Final = np.array([0.08, 0.08, 0.08, 0.05, 0.05, 0.01], np.float32)
_NOISE_POOL: Final = 1 << 20
"""Values of shared noise; a frame takes a slice at a hashed place."""
_LOAD_EFFECT: Final = np.array([0.0, 0.0, 0.0, 2.0, 1.0, 0.2])
_TABLE: Final = 4096
"""Steps of a revolution in the sine table: an error of 1e-3 of an amplitude, below the noise."""


class Machines:
    """Parameters of a fleet, one row per device; a device's row does not depend on fleet size.

    Shafts turn at 20 to 28 Hz, so three harmonics stay apart and below 100 Hz. Load swings over
    minutes and moves temperature, current and pressure.
    """

    def __init__(self, devices: int, rate_hz: float, frame_samples: int, seed: int) -> None:
        self.devices = devices
        self.rate_hz = rate_hz
        self.frame_samples = frame_samples
        rng = np.random.default_rng([seed, 1])
        draws = rng.random((devices, 32))
        self.shaft_hz = 20.0 + 8.0 * draws[:, 0]
        self._phase = draws[:, 1]
        self._load_hz = 1.0 / (120.0 + 480.0 * draws[:, 2])
        self._load_phase = draws[:, 3]
        self._coefficients = _coefficients(draws[:, 4:]).astype(np.float32)
        self._seed = np.uint64(seed)
        pool = np.random.default_rng([seed, 2]).standard_normal(_NOISE_POOL, np.float32)
        self._noise = np.lib.stride_tricks.sliding_window_view(pool, frame_samples * len(CHANNELS))
        angle = 2 * np.pi * np.arange(_TABLE) / _TABLE
        self._sine = np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)

    def frames(self, device: I64, frame: I64) -> F32:
        """Healthy samples, float32 [n, frame_samples, 6]: row i is frame[i] of device[i]."""
        n, count = len(device), self.frame_samples
        basis = self._basis(self.revolutions(device, frame))
        load = np.sin(2 * np.pi * self._load(device, frame))
        coefficients = self._coefficients[device]
        coefficients[:, -1, :] += load[:, None] * _LOAD_EFFECT
        samples: F32 = np.matmul(basis, coefficients)
        noise = self._noise[self._noise_at(device, frame)].reshape(n, count, len(CHANNELS))
        noise *= _NOISE_STD
        samples += noise
        return samples

    def revolutions(self, device: I64, frame: I64) -> F64:
        """Shaft angle in revolutions at each sample, float64 [n, frame_samples], first below 1."""
        turns_per_sample = self.shaft_hz[device] / self.rate_hz
        start = np.mod(self._phase[device] + turns_per_sample * (frame * self.frame_samples), 1.0)
        return start[:, None] + turns_per_sample[:, None] * np.arange(self.frame_samples)

    def _basis(self, revolutions: F64) -> F32:
        step = (revolutions * _TABLE).astype(np.int32)
        harmonics = [self._sine[(k * step) & (_TABLE - 1)] for k in range(1, _HARMONICS + 1)]
        return np.concatenate([*harmonics, np.ones_like(harmonics[0][..., :1])], -1)

    def _load(self, device: I64, frame: I64) -> F64:
        time_s = frame * (self.frame_samples / self.rate_hz)
        return self._load_phase[device] + time_s * self._load_hz[device]

    def _noise_at(self, device: I64, frame: I64) -> NDArray[np.uint64]:
        mixed = mix(
            self._seed ^ (device.astype(np.uint64) << np.uint64(40)) ^ frame.astype(np.uint64)
        )
        return mixed % np.uint64(len(self._noise))


def mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: a random-looking 64-bit value per input."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _coefficients(draws: F64) -> F64:
    """float64 [devices, 7, 6]: cos and sin of each harmonic and a constant, per channel."""
    devices = len(draws)
    coefficients = np.zeros((devices, 2 * _HARMONICS + 1, len(CHANNELS)))
    shaped = draws[:, : 2 * _HARMONICS * VIBRATION].reshape(devices, 2, _HARMONICS, VIBRATION)
    amplitude = np.exp(0.4 * (shaped[:, 0] - 0.5)) * _HARMONIC_SHARE[:, None] * [1.0, 0.8, 0.5]
    angle = 2 * np.pi * shaped[:, 1]
    coefficients[:, 0:-1:2, :VIBRATION] = amplitude * np.cos(angle)
    coefficients[:, 1:-1:2, :VIBRATION] = amplitude * np.sin(angle)
    level = draws[:, 2 * _HARMONICS * VIBRATION :]
    coefficients[:, -1, 3] = 55.0 + 10.0 * level[:, 0]
    coefficients[:, -1, 4] = 12.0 + 4.0 * level[:, 1]
    coefficients[:, -1, 5] = 4.0 + level[:, 2]
    coefficients[:, 2, 4] = 0.15
    coefficients[:, 0, 5] = 0.05
    return coefficients
