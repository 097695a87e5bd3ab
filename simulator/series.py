"""A recorded series from a CSV file: a `timestamp` column and one or more of values."""

import csv
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from fleetpulse.effects import F64, I64
from fleetpulse.errors import InputError

_TIMESTAMP: Final = "timestamp"


@dataclass(frozen=True, slots=True)
class Series:
    """t_us: int64 [n], rising; values: float64 [n, channels], NaN where a cell is empty."""

    channels: tuple[str, ...]
    t_us: I64
    values: F64

    def __len__(self) -> int:
        return len(self.t_us)


def read_series(path: Path) -> Series:
    """Parse; raises InputError naming file and line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            _check_header(path, header)
            parsed = [
                _row(path, line, header, row) for line, row in enumerate(rows, start=2) if row
            ]
    except OSError as error:
        raise InputError(str(path), error.strerror or "cannot be read") from error
    except UnicodeDecodeError as error:
        raise InputError(str(path), "is not UTF-8 text") from error
    if not parsed:
        raise InputError(str(path), "holds no samples")
    t_us = np.array([at for at, _ in parsed], np.int64)
    values = np.array([cells for _, cells in parsed], np.float64)
    order = np.argsort(t_us, kind="stable")
    return Series(tuple(header[1:]), t_us[order], values[order])


def parse_time_us(text: str) -> int:
    """Epoch microseconds of an ISO 8601 time, UTC unless it says otherwise; raises ValueError."""
    at = datetime.fromisoformat(text.strip())
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    elapsed = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) < 2 or header[0] != _TIMESTAMP:
        shown = ",".join(header)[:80] or "empty"
        raise InputError(f"{path}:1", f"header must be timestamp,<channel>[,…], not {shown}")
    if len(set(header)) != len(header) or not all(header):
        raise InputError(f"{path}:1", "column names must be distinct and not empty")


def _row(path: Path, line: int, header: list[str], row: list[str]) -> tuple[int, list[float]]:
    where = f"{path}:{line}"
    if len(row) != len(header):
        raise InputError(where, f"has {len(row)} cells, the header has {len(header)}")
    try:
        at_us = parse_time_us(row[0])
    except ValueError as error:
        raise InputError(where, f"timestamp {row[0]!r} is not ISO 8601") from error
    return at_us, [_cell(where, name, text) for name, text in zip(header[1:], row[1:], strict=True)]


def _cell(where: str, name: str, text: str) -> float:
    if not text.strip():
        return math.nan
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(where, f"{name} {text!r} is not a number") from error
    if not math.isfinite(value):
        raise InputError(where, f"{name} must be finite, is {text}")
    return value
