"""Devices in real time, as a process of its own: `python -m benchmarks.fleet.pacer PLAN.json`.

It prints one line of JSON when it is done. Rounds are made ahead by a thread.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet import topics
from benchmarks.fleet.job import Job
from benchmarks.fleet.series import Frames, Series
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.settings import load_settings

_AHEAD_ROUNDS: Final = 20
_NAP_S: Final = 0.002
_CLOSE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Which frames are sent where, and when each is due."""

    job: Job
    topic: str
    """Without the settings' prefix."""
    start_us: int
    frames: int

    def due_us(self, device: NDArray[np.int64], number: NDArray[np.int64]) -> NDArray[np.int64]:
        """When a device sends a frame: it is complete, and devices take turns."""
        turn_us = device * self.job.frame_us // self.job.devices
        due_us: NDArray[np.int64] = self.start_us + (number + 1) * self.job.frame_us + turn_us
        return due_us

    def write(self, path: Path) -> None:
        """For the process."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """As written."""
        told = json.loads(path.read_text())
        return cls(**told | {"job": Job(**told["job"])})


def main(pace: Pace) -> float:
    """Send everything; how late the latest frame was, in ms."""
    kafka = load_settings().kafka
    client = topics.producer(kafka, linger_ms=1)
    name, keys = kafka.topic(pace.topic), pace.job.device_keys()
    rounds: Queue[Frames] = Queue(_AHEAD_ROUNDS)
    series = Series(pace.job, pace.start_us)
    Thread(target=_make, args=(series, pace.frames, rounds), daemon=True).start()
    everyone = np.arange(pace.job.devices)
    late_us = 0
    for number in range(pace.frames):
        values = rounds.get(timeout=_CLOSE_S).values
        due_us = pace.due_us(everyone, np.full(pace.job.devices, number))
        begin = 0
        while begin < len(values):
            now_us = time.time_ns() // 1000
            end = int(np.searchsorted(due_us, now_us, side="right"))
            if end > begin:
                late_us = max(late_us, now_us - int(due_us[begin]))
                client.produce_batch(
                    name, [{"key": keys[d], "value": values[d]} for d in range(begin, end)]
                )
                begin = end
            client.poll(0)
            time.sleep(_NAP_S)
    if client.flush(_CLOSE_S):
        raise BrokerUnavailable(f"kafka: topic {name} did not take everything")
    return late_us / 1000


def _make(series: Series, frames: int, rounds: "Queue[Frames]") -> None:
    for each in series.rounds(frames):
        rounds.put(each)


if __name__ == "__main__":
    print(json.dumps({"late_ms": main(Pace.read(Path(sys.argv[1])))}), flush=True)
