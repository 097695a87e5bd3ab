"""What every contender computes. Shared by harness and contenders; needs only numpy.

Input: Kafka records, key `tenant/device`, value a canonical SampleBlock as in telemetry.proto:
fixed-width header, then float32 [frame_samples, channels]. Output, keyed by device:

- seconds: per device and second of event time count, and min, max, mean, std of each channel;
- scores: per device and window of 256 samples, hop 128, the model's score. A device's first window
  begins with its sample crc32(key) % 128, so that windows of a fleet do not end all at once.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self
from zlib import crc32

import numpy as np

CHANNELS: Final = 6
RATE_HZ: Final = 200
STEP_US: Final = 1_000_000 // RATE_HZ
SECOND_US: Final = 1_000_000
WINDOW: Final = 256
HOP: Final = 128
LATENESS_US: Final = 2_000_000
PARTITIONS: Final = 8
PLAN_VARIABLE: Final = "FLEET_PLAN"
"""Environment variable with the path of the contender's plan."""

SECOND: Final = np.dtype(
    [
        ("start_us", "<i8"),
        ("count", "<i4"),
        ("min", "<f4", CHANNELS),
        ("max", "<f4", CHANNELS),
        ("mean", "<f4", CHANNELS),
        ("std", "<f4", CHANNELS),
    ]
)
"""Value of a record of seconds, packed. Standard deviations are the population's."""
SCORE: Final = np.dtype([("start_us", "<i8"), ("score", "<f4")])
"""Value of a record of scores, packed; the score is 0 where the job has no model."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is sent. A device's samples begin at a common start, one frame after the other."""

    name: str
    frame_samples: int = 20
    devices: int = 1000
    disorder: float = 0.0
    """Share of frames that come up to a second late; with it the lateness bound is 2 s."""

    @property
    def frame_us(self) -> int:
        """Event time of a frame."""
        return self.frame_samples * STEP_US

    @property
    def header_bytes(self) -> int:
        """Of a record's value, before its samples: 38 fixed ones, then the samples' length."""
        return 38 + (1 if self.body_bytes < 128 else 2)

    @property
    def body_bytes(self) -> int:
        """Samples of a record."""
        return self.frame_samples * CHANNELS * 4

    @property
    def lateness_frames(self) -> int:
        """Frames that a device may be ahead of a missing one; 0: there is no disorder."""
        return LATENESS_US // self.frame_us if self.disorder else 0

    def device_keys(self) -> list[bytes]:
        """Of the devices, as record keys."""
        return [b"default/fleet-%05d" % number for number in range(self.devices)]

    def windows(self, frames: int, phase: int) -> int:
        """Whole windows in so many frames of a device."""
        return max(0, (frames * self.frame_samples - phase - WINDOW) // HOP + 1)

    def seconds(self, frames: int) -> int:
        """Whole seconds in so many frames."""
        return frames * self.frame_us // SECOND_US


JOBS: Final = {
    job.name: job
    for job in (
        Job("fleet-200"),
        Job("fleet-200-1", frame_samples=1),
        Job("fleet-200-disorder", disorder=0.01),
    )
}


def phase_of(key: bytes) -> int:
    """Samples before a device's first window."""
    return crc32(key) % HOP


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a contender needs to know, as JSON in a file."""

    job: Job
    bootstrap: str
    input: str
    seconds: str
    scores: str
    """Names of topics."""
    group: str
    model: str
    """Path of the ONNX model; empty: windows are made, and score 0."""
    start_us: int
    folder: str
    """Scratch space; a process writes there when it saw its first record."""
    options: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """For the contender."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls) -> Self:
        """The plan that the environment names."""
        told = json.loads(Path(os.environ[PLAN_VARIABLE]).read_text())
        return cls(**told | {"job": Job(**told["job"])})
