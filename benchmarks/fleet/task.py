"""What a contender is asked to compute, and what came of it."""

from dataclasses import dataclass, field
from typing import Final

from benchmarks.fleet.job import SECOND_US, Job, phase_of
from benchmarks.fleet.series import Series
from benchmarks.report import Latency

SERVERS: Final = ("broker", "postgres")
"""Roles of processes that are shown beside."""


@dataclass(frozen=True, slots=True)
class Task:
    """So many frames of each device. model: path of the ONNX file; empty: without it."""

    series: Series
    frames: int
    model: str

    @property
    def job(self) -> Job:
        """The job."""
        return self.series.job

    @property
    def samples(self) -> int:
        """Of all devices."""
        return self.frames * self.job.frame_samples * self.job.devices

    @property
    def outputs(self) -> int:
        """Records that a contender writes."""
        seconds = self.job.seconds(self.frames) * self.job.devices
        return seconds + sum(
            self.job.windows(self.frames, phase_of(k)) for k in self.job.device_keys()
        )


@dataclass(frozen=True, slots=True)
class Result:
    """One run. CPU: of all the contender's processes, and of the servers beside it."""

    contender: str
    samples: int
    seconds: float
    cpu_s: float
    cpu_by_role_s: dict[str, float]
    servers_cpu_s: dict[str, float]
    memory_mb: float
    """Peak, shared pages counted once per process."""
    findings: list[str] = field(default_factory=list)
    latency_ms: Latency | None = None
    """When paced: from the time when a window's last frame was due to a committed score."""
    late_ms: float = 0.0
    """When paced: how late the generator itself was at most."""

    @property
    def samples_per_s(self) -> float:
        """Throughput; 0 if it wrote nothing."""
        return self.samples / self.seconds if self.seconds > 0 else 0.0

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds per million samples."""
        return self.cpu_s / self.samples * 1e6


def whole_seconds_and_a_half(job: Job, frames: int) -> int:
    """So that the last second is open for everyone, whether or not he waits for the next frame."""
    per_second = SECOND_US // job.frame_us
    return max(1, frames // per_second) * per_second + per_second // 2
