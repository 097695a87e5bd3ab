"""State of many devices as arrays that share their first axis: one row per device."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fleetpulse.effects import I64

NEVER = -(1 << 62)
"""A slot, second or microsecond before every other; sums with a few of them stay in 64 bits."""
FOREVER = 1 << 62
"""A time after every other."""
Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Column:
    """One array: dtype, shape behind the device axis, value of a fresh row."""

    dtype: DTypeLike
    shape: tuple[int, ...] = ()
    fresh: float | int | bool | np.void | None = 0

    @property
    def row_bytes(self) -> int:
        """Size of a device's values."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


def under(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose name begins with `prefix`, without it."""
    size = len(prefix)
    return {name[size:]: array for name, array in arrays.items() if name.startswith(prefix)}


class Buffers:
    """Memory for copies of rows that the next copies overwrite: fresh pages cost more than
    copying, and a copy is what a shard's loop waits for.
    """

    def __init__(self) -> None:
        self._held: Arrays = {}

    def copy(self, name: str, values: NDArray[np.generic], rows: I64) -> NDArray[np.generic]:
        """These rows, in the memory of the last copy of that name, if they fit there."""
        held = self._held.get(name)
        if held is None or len(held) < len(rows) or held.shape[1:] != values.shape[1:]:
            shape = (len(rows) * 5 // 4, *values.shape[1:])
            held = self._held[name] = np.empty(shape, values.dtype)
        out = held[: len(rows)]
        np.take(values, rows, axis=0, out=out, mode="clip")
        return out


class Columns:
    """Named columns that grow, reset, export and import rows together.

    Each column becomes an attribute; subclasses annotate them.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = dict(columns)
        self.capacity = 0
        for name, column in self._columns.items():
            setattr(self, name, np.empty((0, *column.shape), column.dtype))

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        return sum(column.row_bytes for column in self._columns.values())

    def reserve(self, capacity: int) -> None:
        """Address space for `capacity` rows; they take memory when they are made fresh."""
        for name, column in self._columns.items():
            old = getattr(self, name)
            new = np.empty((capacity, *column.shape), column.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
        self.capacity = capacity

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows; new ones are fresh."""
        old = self.capacity
        self.reserve(capacity)
        self.reset(slice(old, capacity))

    def reset(self, rows: I64 | slice) -> None:
        """Make rows fresh."""
        for name, column in self._columns.items():
            getattr(self, name)[rows] = column.fresh

    def export(self, rows: I64, buffers: Buffers | None = None, prefix: str = "") -> Arrays:
        """Copies of these rows, in `buffers` if there are some; `prefix` names their owner."""
        if buffers is None:
            return {name: getattr(self, name)[rows] for name in self._columns}
        return {
            name: buffers.copy(f"{prefix}.{name}", getattr(self, name), rows)
            for name in self._columns
        }

    def load(self, rows: I64, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Set rows from an export; a column that it does not know stays as it is."""
        for name in self._columns.keys() & arrays.keys():
            getattr(self, name)[rows] = arrays[name]


class Tables:
    """Named Columns whose rows are the same devices."""

    def __init__(self, tables: Mapping[str, Columns]) -> None:
        self._tables = dict(tables)

    @property
    def row_bytes(self) -> int:
        """Size of a row in all tables."""
        return sum(table.row_bytes for table in self._tables.values())

    def reserve(self, capacity: int) -> None:
        """Address space for rows."""
        for table in self._tables.values():
            table.reserve(capacity)

    def reset(self, rows: I64 | slice) -> None:
        """Make rows fresh."""
        for table in self._tables.values():
            table.reset(rows)

    def export(self, rows: I64, buffers: Buffers | None = None, prefix: str = "") -> Arrays:
        """Copies of these rows."""
        out: Arrays = {}
        for name, table in self._tables.items():
            found = table.export(rows, buffers, f"{prefix}.{name}")
            out |= {f"{name}.{k}": v for k, v in found.items()}
        return out

    def load(self, rows: I64, arrays: Arrays) -> None:
        """Set rows from an export."""
        for name, table in self._tables.items():
            table.load(rows, under(f"{name}.", arrays))
