"""One alert by its id, whoever's it is."""

from typing import Final

from psycopg.rows import class_row
from psycopg.sql import SQL

from adapters.postgres.connection import connect, unavailable
from adapters.postgres.periods import ALERT
from fleetpulse.reads import AlertRow

_NAMED: Final = ALERT + SQL("WHERE alert_id = %s")


def find_alert(dsn: str, alert_id: str) -> AlertRow | None:
    """None if there is none; raises DatabaseUnavailable."""
    with unavailable(), connect(dsn, purpose="explain") as connection:
        cursor = connection.cursor(row_factory=class_row(AlertRow))
        return cursor.execute(_NAMED, (alert_id,)).fetchone()
