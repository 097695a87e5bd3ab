"""One alert by its id, whoever's it is, and which view it is of."""

from typing import Final

from psycopg.sql import SQL

from adapters.postgres.connection import connect, unavailable
from adapters.postgres.periods import ALERT_COLUMNS
from fleetpulse.reads import AlertRow, StoredAlert

_NAMED: Final = SQL("""
SELECT view_epoch, withdrawn, (
        SELECT max(log_offset) FROM recompute_jobs AS job
        WHERE job.tenant = alerts.tenant AND job.device_id = alerts.device_id
            AND job.view_epoch = alerts.view_epoch
    ), {columns}
FROM alerts WHERE alert_id = %s
""").format(columns=ALERT_COLUMNS)


def find_alert(dsn: str, alert_id: str) -> StoredAlert | None:
    """None if there is none; raises DatabaseUnavailable."""
    with unavailable(), connect(dsn, purpose="explain") as connection:
        found = connection.execute(_NAMED, (alert_id,)).fetchone()
    if found is None:
        return None
    view_epoch, withdrawn, log_offset, *columns = found
    return StoredAlert(AlertRow(*columns), view_epoch, withdrawn, log_offset)
