"""Buckets that are corrected before they have ended: nobody reads one until its job is done."""

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Identifier

from fleetpulse.effects import Resolution
from fleetpulse.rollups import LEVELS

# Nothing came of a hidden bucket that is neither open nor closed now.
_DROP: Final = """
DELETE FROM {table} WHERE tenant = %(tenant)s AND device_id = %(device_id)s AND withheld
    AND bucket <> ALL(SELECT epoch_us(unnest(%(hidden)s::bigint[]))) AND NOT 0 < ANY(count)
"""
_HIDE: Final = """
UPDATE {table} SET withheld = bucket = ANY(SELECT epoch_us(unnest(%(hidden)s::bigint[])))
WHERE tenant = %(tenant)s AND device_id = %(device_id)s
    AND (withheld OR %(others)s AND bucket = ANY(SELECT epoch_us(unnest(%(hidden)s::bigint[]))))
"""


def hide(
    connection: psycopg.Connection[Any],
    tenant: str,
    device_id: str,
    buckets: Mapping[Resolution, list[int]],
    *,
    others: bool = True,
) -> None:
    """These of a device and no others; by their starts in epoch microseconds. Without any, what
    was hidden is shown as far as it goes: its job has ended.

    others: also those that are not hidden yet.
    """
    for resolution in LEVELS:
        hidden = buckets.get(resolution, [])
        asked = {"tenant": tenant, "device_id": device_id, "hidden": hidden, "others": others}
        for statement in (_DROP, _HIDE):
            table = Identifier(f"rollup_{resolution}")
            connection.execute(SQL(statement).format(table=table), asked)
