"""The shapes of answers about alerts. Times are RFC 3339 in UTC."""

from typing import Self

from pydantic import BaseModel

from fleetpulse.reads import AlertRow
from fleetpulse.stale import is_stale
from serve_apps.times import rfc3339


class Alert(BaseModel):
    """One alert from raise to clear. committed_at: when it was known here, null if that is not
    known any more; stale: too late by then to call a person for.
    """

    alert_id: str
    tenant: str
    device_id: str
    raised_at: str
    cleared_at: str | None
    window_start: str
    window_end: str
    score: float
    peak_score: float
    threshold: float
    model: str
    profile: str
    committed_at: str | None
    stale: bool

    @classmethod
    def of(cls, row: AlertRow, stale_after_s: float) -> Self:
        """From its row."""
        committed_us = row.committed_at_us
        return cls(
            alert_id=row.alert_id,
            tenant=row.tenant,
            device_id=row.device_id,
            raised_at=rfc3339(row.raised_at_us),
            cleared_at=None if row.cleared_at_us is None else rfc3339(row.cleared_at_us),
            window_start=rfc3339(row.window_start_us),
            window_end=rfc3339(row.window_end_us),
            score=row.score,
            peak_score=row.peak_score,
            threshold=row.threshold,
            model=row.model,
            profile=row.profile,
            committed_at=None if committed_us is None else rfc3339(committed_us),
            stale=committed_us is not None
            and is_stale(row.raised_at_us, committed_us, stale_after_s),
        )


class AlertPage(BaseModel):
    """Alerts, newest first. next: hand it in as `cursor` for the page that follows."""

    alerts: list[Alert]
    next: str | None
