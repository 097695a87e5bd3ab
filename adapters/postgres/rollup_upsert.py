"""Rollups of all resolutions in one statement: columns travel as arrays, the server unnests them.

The server begins with a statement once it has all of it: a slow or stopped sender locks nothing.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import psycopg
from psycopg.sql import SQL, Composed, Identifier, Placeholder

from adapters.postgres.binary_arrays import Float8s, Int4s, Times, text, texts
from fleetpulse.effects import Keys, Resolution, RollupRows, taken

_KEY: Final = ("tenant", "device_id", "bucket")
_CHANNELS: Final = ("count", "min", "max", "mean", "std")
_SCORES: Final = (
    "score_count", "score_over", "score_min", "score_max", "score_mean", "score_std",
)  # fmt: skip
# Arrays hold the channels of all rows; a row's are those from its `first` to its `last`.
# An older view or revision never replaces a newer one.
_UPSERT: Final = """
INSERT INTO {table} ({key}, profile, revision, view_epoch, {channels}, {scores})
SELECT {key}, profile, 0, {view_epoch}, {slices}, {scores}
FROM unnest({columns}) AS given ({key}, profile, first, last, {scores})
ON CONFLICT ({key}) DO UPDATE SET (profile, revision, view_epoch, {replaced})
    = (excluded.profile, excluded.revision, excluded.view_epoch, {new})
WHERE ({table}.view_epoch, {table}.revision) <= (excluded.view_epoch, excluded.revision)
"""

Batches = Mapping[Resolution, list[RollupRows]]


def upsert(
    connection: psycopg.Connection[Any],
    tables: Mapping[Resolution, str],
    batches: Batches,
    *,
    view_epoch: int,
    scored: bool,
) -> None:
    """Write rows of any resolutions. Of several of a device and bucket the last counts.

    scored: whether scores replace those of a row that is there.
    """
    inserts, given = [], {"view_epoch": view_epoch}
    for resolution, rows in batches.items():
        insert = _statement(tables[resolution], resolution, scored=scored)
        inserts.append((resolution, insert))
        columns = _columns(_last_of_each(rows))
        given |= {_name(resolution, column): value for column, value in columns.items()}
    if len(inserts) == 1:
        connection.execute(inserts[0][1], given)
        return
    parts = [SQL("{} AS ({})").format(Identifier(name), insert) for name, insert in inserts]
    connection.execute(SQL("WITH ") + SQL(", ").join(parts) + SQL(" SELECT"), given)


def _columns(batches: list[RollupRows]) -> dict[str, Any]:
    """Parameters of `_statement`, by column."""
    sizes = [len(rows.devices) for rows in batches]
    size = sum(sizes)
    widths = np.repeat([rows.count.shape[1] for rows in batches], sizes)
    last = np.cumsum(widths)
    tenants, devices = _names([key for rows in batches for key in rows.devices])
    profiles = [text(rows.profile.ref.encode()) * n for rows, n in zip(batches, sizes, strict=True)]
    return {
        "tenant": texts(tenants, size),
        "device_id": texts(devices, size),
        "bucket": Times.of(np.concatenate([rows.bucket_us for rows in batches])),
        "profile": texts(profiles, size),
        "first": Int4s.of(last - widths + 1),
        "last": Int4s.of(last),
        **{name: _values(name, batches) for name in _CHANNELS + _SCORES},
    }


def _values(name: str, batches: list[RollupRows]) -> Int4s | Float8s:
    values = np.concatenate([getattr(rows, name).ravel() for rows in batches])
    return Int4s.of(values) if values.dtype == np.int32 else Float8s.of(values)


def _names(keys: Keys) -> tuple[list[bytes], list[bytes]]:
    split = [key.partition(b"/") for key in keys]
    return [text(tenant) for tenant, _, _ in split], [text(device) for _, _, device in split]


def _last_of_each(batches: list[RollupRows]) -> list[RollupRows]:
    """A device that changes its profile within a bucket may close it twice."""
    keys = [
        key for rows in batches for key in zip(rows.devices, rows.bucket_us.tolist(), strict=True)
    ]
    if len(set(keys)) == len(keys):
        return batches
    keep = np.zeros(len(keys), bool)
    keep[list({key: at for at, key in enumerate(keys)}.values())] = True
    ends = np.cumsum([len(rows.devices) for rows in batches])
    parts = np.split(keep, ends[:-1])
    kept = [taken(rows, np.flatnonzero(k)) for rows, k in zip(batches, parts, strict=True)]
    return [rows for rows in kept if len(rows.devices)]


def _statement(table: str, resolution: Resolution, *, scored: bool) -> Composed:
    def given(column: str) -> Placeholder:
        return Placeholder(_name(resolution, column))

    columns = (*_KEY, "profile", "first", "last", *_SCORES)
    slices = [SQL("({})[first:last]").format(given(name)) for name in _CHANNELS]
    replaced = _CHANNELS + (_SCORES if scored else ())
    new = [SQL("excluded.{}").format(Identifier(name)) for name in replaced]
    return SQL(_UPSERT).format(
        table=Identifier(table),
        key=_listed(_KEY),
        channels=_listed(_CHANNELS),
        scores=_listed(_SCORES),
        view_epoch=Placeholder("view_epoch"),
        slices=SQL(", ").join(slices),
        columns=SQL(", ").join(given(column) for column in columns),
        replaced=_listed(replaced),
        new=SQL(", ").join(new),
    )


def _listed(names: tuple[str, ...]) -> Composed:
    return SQL(", ").join(Identifier(name) for name in names)


def _name(resolution: Resolution, column: str) -> str:
    return f"{resolution}_{column}"
