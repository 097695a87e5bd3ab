"""The feature recipe of rotating-ae: power in bands of the spectrum that fit any shaft speed.

Shafts turn at 20 to 28 Hz, so each harmonic stays inside one band whatever the speed, and what
is between the bands is noise. Levels of the slow channels are features as well.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from fleetpulse.effects import F32, F64

WINDOW: Final = 256
CHANNELS: Final = 6
RATE_HZ: Final = 200.0
LEVEL_FROM: Final = 3
"""Channels from here on have a level; the ones before are vibration around zero."""
BAND_EDGES_HZ: Final = (0.0, 3.0, 9.0, 18.0, 30.5, 38.0, 58.2, 86.2, 100.1)
BANDS: Final = len(BAND_EDGES_HZ) - 1
POWER_FLOOR: Final = 0.05
"""Added to power in units of its healthy median: bounds how small a logarithm gets."""


def spectrum_matrix() -> F64:
    """float64 [window, 2 * bins]: removes the mean, applies a Hann window, cosines then sines."""
    sample = np.arange(WINDOW)
    angle = 2 * np.pi * np.outer(sample, np.arange(1, WINDOW // 2 + 1)) / WINDOW
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * sample / WINDOW)
    waves = np.concatenate([np.cos(angle), np.sin(angle)], 1) * hann[:, None] * (2 / WINDOW)
    centred: F64 = waves - waves.mean(0)
    return centred


def band_matrix() -> F64:
    """float64 [2 * bins, bands]: sums squared cosines and sines over each band."""
    bin_hz = np.arange(1, WINDOW // 2 + 1) * RATE_HZ / WINDOW
    edges = np.array(BAND_EDGES_HZ)
    inside = (bin_hz[:, None] >= edges[:-1]) & (bin_hz[:, None] < edges[1:])
    return np.concatenate([inside, inside]).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Constants of the feature step. gain: float64 [channels, bands], 1 / healthy median power."""

    spectrum: F64
    bands: F64
    gain: F64

    @classmethod
    def learn(cls, windows: F32) -> "Recipe":
        """Set the gains from healthy windows, float32 [n, 256, 6]."""
        spectrum, bands = spectrum_matrix(), band_matrix()
        return cls(spectrum, bands, 1.0 / np.median(_power(windows, spectrum, bands), 0))

    def features(self, windows: F32) -> F64:
        """float32 [n, 256, 6] -> float64 [n, 51], as the exported graph computes them."""
        power = _power(windows, self.spectrum, self.bands) * self.gain
        logs = np.log(power + POWER_FLOOR).reshape(len(windows), -1)
        levels = windows[:, :, LEVEL_FROM:].mean(1, dtype=np.float64)
        return np.concatenate([logs, levels], 1)


def _power(windows: F32, spectrum: F64, bands: F64) -> F64:
    waves = np.swapaxes(windows, 1, 2).astype(np.float64) @ spectrum
    power: F64 = waves**2 @ bands
    return power
