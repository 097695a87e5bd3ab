"""State of many devices as arrays that share their first axis: one row per device."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fleetpulse.effects import I64

NEVER = -(1 << 62)
"""A slot, second or microsecond before every other; sums with a few of them stay in 64 bits."""
Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Column:
    """One array: dtype, shape behind the device axis, value of a fresh row."""

    dtype: DTypeLike
    shape: tuple[int, ...] = ()
    fresh: float | int | bool = 0


def under(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose name begins with `prefix`, without it."""
    size = len(prefix)
    return {name[size:]: array for name, array in arrays.items() if name.startswith(prefix)}


class Columns:
    """Named columns that grow, reset, export and import rows together.

    Each column becomes an attribute; subclasses annotate them.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = dict(columns)
        self.capacity = 0
        for name, column in self._columns.items():
            setattr(self, name, np.empty((0, *column.shape), column.dtype))

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows; new ones are fresh."""
        for name, column in self._columns.items():
            old = getattr(self, name)
            new = np.full((capacity, *column.shape), column.fresh, column.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
        self.capacity = capacity

    def reset(self, rows: I64) -> None:
        """Make rows fresh."""
        for name, column in self._columns.items():
            getattr(self, name)[rows] = column.fresh

    def export(self, rows: I64) -> Arrays:
        """Copies of these rows."""
        return {name: getattr(self, name)[rows] for name in self._columns}

    def load(self, rows: I64, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Set rows from an export."""
        for name in self._columns:
            getattr(self, name)[rows] = arrays[name]
