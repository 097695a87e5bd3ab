"""What is varied, and along which axes."""

from dataclasses import dataclass, replace
from typing import Final, Literal

from fleetpulse.profile import AlertRule, Profile, WindowSpec

Axis = Literal["shards", "devices", "frame", "channels", "model", "step"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A load on the core, in one process. model_us: CPU that scoring takes, per window."""

    devices: int = 1_000
    frame_samples: int = 20
    channels: int = 6
    model_us: float = 0.0
    step_records: int = 1_000
    rate_hz: float = 200.0
    window: int = 256
    hop: int = 128

    @property
    def profile(self) -> Profile:
        """Of every device."""
        return Profile(
            name="scale",
            channels=tuple(f"channel_{number}" for number in range(self.channels)),
            rate_hz=self.rate_hz,
            block_samples_max=max(20, self.frame_samples),
            window=WindowSpec(size=self.window, hop=self.hop),
            model="scale@1",
            alert=AlertRule(threshold=1.0),
            rate_limit=None,
        )


BASE: Final = Shape()
SLOW: Final = replace(BASE, rate_hz=20.0, window=32, hop=16)
"""Devices of 3 KB, so that a million of them are in memory at once."""
CORE_AXES: Final[dict[Axis, list[tuple[float, Shape]]]] = {
    "devices": [
        (n, replace(SLOW, devices=n)) for n in (100, 1_000, 10_000, 100_000, 300_000, 1_000_000)
    ],
    "frame": [(n, replace(BASE, frame_samples=n)) for n in (1, 2, 5, 10, 20, 50, 100, 200)],
    "channels": [(n, replace(BASE, channels=n)) for n in (1, 2, 4, 6, 8, 16, 32, 64)],
    "model": [(us, replace(BASE, model_us=us)) for us in (0, 5, 10, 50, 100, 300, 1_000)],
    "step": [
        (n, replace(BASE, devices=100, step_records=n)) for n in (1, 5, 20, 100, 500, 2_000, 4_000)
    ],
}
"""Axis -> its values, each with the load."""
SHARDS: Final = (1, 2, 4)
