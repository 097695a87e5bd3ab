"""Rollup rows as a fleet would leave them, made fast."""

from typing import Final, Literal

import numpy as np

from fleetpulse.effects import RollupRows
from fleetpulse.profile import AlertRule, Profile

CHANNELS: Final = 6
PROFILE: Final = Profile(
    name="bench",
    channels=tuple(f"channel_{number}" for number in range(CHANNELS)),
    rate_hz=200,
    alert=AlertRule(threshold=1.0),
)
_SAMPLES: Final = {"minute": 12_000, "hour": 720_000, "day": 17_280_000}
_WINDOWS: Final = {"minute": 94, "hour": 5_640, "day": 135_360}


def device_ids(count: int) -> list[str]:
    """Names in order."""
    return [f"device-{number:07d}" for number in range(count)]


def made_rows(
    resolution: Literal["minute", "hour", "day"],
    keys: list[bytes],
    bucket_us: int,
    rng: np.random.Generator,
) -> RollupRows:
    """One bucket of every device."""
    n = len(keys)
    means = rng.standard_normal((n, CHANNELS))
    spread = rng.random((n, CHANNELS))
    scores = rng.exponential(0.3, n)
    return RollupRows(
        resolution,
        PROFILE,
        np.zeros(n, np.int32),
        keys,
        np.full(n, bucket_us),
        np.full((n, CHANNELS), _SAMPLES[resolution], np.int32),
        means - 3 * spread,
        means + 3 * spread,
        means,
        spread,
        np.full(n, _WINDOWS[resolution], np.int32),
        rng.poisson(0.5, n).astype(np.int32),
        scores / 3,
        scores,
        scores / 2,
        scores / 6,
    )
