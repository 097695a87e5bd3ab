"""What alerts and sessions have in common as rows: they begin, end or are open, and are read in
pages, newest first.
"""

from typing import Any, Final

from psycopg.sql import SQL, Composed, Identifier

from fleetpulse.reads import PeriodFilter, PeriodKey

_PAGE: Final = SQL("""tenant = %(tenant)s
    AND (%(device_id)s::text IS NULL OR device_id = %(device_id)s)
    AND (%(open)s::boolean IS NULL OR ({ended} IS NULL) = %(open)s)
    AND (%(from_us)s::bigint IS NULL OR {begun} >= epoch_us(%(from_us)s))
    AND (%(to_us)s::bigint IS NULL OR {begun} < epoch_us(%(to_us)s))
    AND (%(before_us)s::bigint IS NULL
        OR ({begun}, {name}) < (epoch_us(%(before_us)s), %(before_name)s::text))
ORDER BY {begun} DESC, {name} DESC LIMIT %(limit)s
""")


def in_us(column: str) -> Composed:
    """A time column as epoch microseconds, exactly."""
    return SQL("(extract(epoch FROM {0}) * 1000000)::bigint AS {1}").format(
        Identifier(column), Identifier(f"{column}_us")
    )


ALERT_COLUMNS: Final = SQL("""
alert_id, tenant, device_id, {raised_at}, {cleared_at}, {window_start}, {window_end},
    score, peak_score, threshold, model, profile, {committed_at}
""").format(
    **{
        name: in_us(name)
        for name in ("raised_at", "cleared_at", "window_start", "window_end", "committed_at")
    }
)
"""Those of an AlertRow, in its order."""
ALERT: Final = SQL("SELECT {columns} FROM alerts ").format(columns=ALERT_COLUMNS)


def page_by(begun: str, ended: str, name: str) -> Composed:
    """The last part of a statement's condition, and its order."""
    return _PAGE.format(begun=Identifier(begun), ended=Identifier(ended), name=Identifier(name))


def page_of(where: PeriodFilter, before: PeriodKey | None, limit: int) -> dict[str, Any]:
    """Parameters of `page_by`."""
    return {
        "tenant": where.tenant,
        "device_id": where.device_id,
        "open": where.open,
        "from_us": where.from_us,
        "to_us": where.to_us,
        "before_us": before.begun_us if before else None,
        "before_name": before.name if before else None,
        "limit": limit,
    }
