"""Columns as parameters: PostgreSQL's binary arrays made from numpy, no Python object per value.

Row by row through the client library a minute of 1,000 devices holds the interpreter for tens of
milliseconds, and the shard's loop waits meanwhile.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

from fleetpulse.effects import F64, I32, I64

_POSTGRES_EPOCH_US: Final = 946_684_800_000_000  # 2000-01-01


class _Array:
    """The bytes of a one-dimensional array without NULLs."""

    element_oid: ClassVar[int]
    oid: ClassVar[int]

    def __init__(self, size: int, elements: bytes) -> None:
        header = np.array([1, 0, self.element_oid, size, 1], ">i4").tobytes()
        self.binary = header + elements


class Texts(_Array):
    """text[]; elements: each as `text` makes it."""

    element_oid, oid = 25, 1009


class Int4s(_Array):
    """int4[]."""

    element_oid, oid = 23, 1007

    @classmethod
    def of(cls, values: I32) -> "Int4s":
        """Of any shape, row by row."""
        return cls(values.size, _fields(values, ">i4"))


class Float8s(_Array):
    """float8[]."""

    element_oid, oid = 701, 1022

    @classmethod
    def of(cls, values: F64) -> "Float8s":
        """Of any shape, row by row."""
        return cls(values.size, _fields(values, ">f8"))


class Times(_Array):
    """timestamptz[]."""

    element_oid, oid = 1184, 1185

    @classmethod
    def of(cls, times_us: I64) -> "Times":
        """Of epoch microseconds."""
        return cls(times_us.size, _fields(times_us - _POSTGRES_EPOCH_US, ">i8"))


def text(value: bytes) -> bytes:
    """An element of Texts."""
    return len(value).to_bytes(4, "big") + value


def texts(values: Iterable[bytes], size: int) -> Texts:
    """Of so many values, each made by `text`."""
    return Texts(size, b"".join(values))


def _fields(values: NDArray[Any], dtype: str) -> bytes:
    """Each value behind its length, big-endian."""
    fields = np.empty(values.size, np.dtype([("length", ">i4"), ("value", dtype)]))
    fields["length"] = fields.dtype["value"].itemsize
    fields["value"] = values.ravel()
    return fields.tobytes()


def _dumper(kind: type[_Array]) -> type[Dumper]:
    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = kind.oid

        def dump(self, obj: _Array) -> bytes:
            return obj.binary

    return ArrayDumper


for _kind in (Texts, Int4s, Float8s, Times):
    psycopg.adapters.register_dumper(_kind, _dumper(_kind))
