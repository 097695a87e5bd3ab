"""Which frames of a fleet were answered 202, and when."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from fleetpulse.effects import I64


@dataclass(slots=True)
class AcceptedFrames:
    """Rows of (device number, frame number, epoch microseconds of the answer), int64 [n, 3]."""

    _parts: list[I64] = field(default_factory=list)

    def add(self, device: I64, sequence: I64) -> None:
        """These were answered now. From any thread."""
        now_us = np.full(len(device), time.time_ns() // 1000)
        self._parts.append(np.stack((device, sequence, now_us), axis=1))

    @property
    def rows(self) -> I64:
        """All of them."""
        return np.concatenate(self._parts) if self._parts else np.empty((0, 3), np.int64)

    def save(self, due_file: Path) -> None:
        """Beside the file of due times."""
        np.save(_file(due_file), self.rows)

    @classmethod
    def load(cls, due_file: Path) -> Self:
        """As saved."""
        return cls([np.load(_file(due_file))])


def _file(due_file: Path) -> Path:
    return due_file.with_name(f"{due_file.stem}-accepted.npy")
