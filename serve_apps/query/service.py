"""What the API answers: reads of the warm store, the actors' own view, pages and cursors."""

import base64
import time
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from fleetpulse.effects import RESOLUTION_S
from fleetpulse.errors import InputError
from fleetpulse.identity import DeviceKey, check_name
from fleetpulse.live import DeviceView, ShardStatus
from fleetpulse.reads import (
    Measure,
    PeriodFilter,
    PeriodKey,
    Reads,
    Resolution,
    SessionRow,
    TopQuestion,
)
from serve_apps.query.alert_answers import Alert, AlertPage
from serve_apps.query.answers import (
    Bucket,
    Device,
    DeviceDetail,
    DevicePage,
    Live,
    Metrics,
    Session,
    SessionPage,
    Top,
)
from serve_apps.times import epoch_us, rfc3339

PAGE_MAX: Final = 1000
DEFAULT_RANGE_US: Final[dict[Resolution, int]] = {
    "minute": 3_600_000_000,
    "hour": 7 * 86_400_000_000,
    "day": 365 * 86_400_000_000,
}
"""How far back `metrics` looks when it is not told."""
METRICS_MAX: Final = 1440
"""A day by minute is one page."""
TOP_RANGE_US: Final = {"hour": 24 * 3_600_000_000, "day": 30 * 86_400_000_000}
TOP_BUCKETS_MAX: Final = 744
"""A month by hour."""


class FleetViews(Protocol):
    """The devices' actors."""

    async def view(self, key: bytes) -> DeviceView | None:
        """An immutable copy; None if no actor knows the device."""

    async def status(self) -> list[ShardStatus]:
        """Of the shards that answer."""


@dataclass(frozen=True, slots=True)
class QueryService:
    """Answers questions of one tenant at a time."""

    reads: Reads
    fleet: FleetViews
    stale_after_s: float
    """Alerts that were committed later than so after their windows are stale."""

    async def devices(self, tenant: str, search: str, after: str, limit: int) -> DevicePage:
        """A page of devices."""
        rows = await self.reads.devices(check_name("x-tenant", tenant), search, after, limit + 1)
        more = rows[limit - 1].device_id if len(rows) > limit else None
        return DevicePage(devices=[Device.of(row) for row in rows[:limit]], next=more)

    async def device(self, tenant: str, device_id: str) -> DeviceDetail:
        """One device, live; raises InputError 404."""
        key = DeviceKey(check_name("x-tenant", tenant), check_name("device_id", device_id))
        row = await self.reads.device(*key)
        if row is None:
            raise InputError("device_id", "is not known", status=404)
        view = await self.fleet.view(key.encode())
        return DeviceDetail(device=Device.of(row), live=Live.of(view) if view else None)

    async def metrics(
        self,
        tenant: str,
        device_id: str,
        resolution: Resolution,
        since: str | None,
        until: str | None,
        limit: int,
    ) -> Metrics:
        """Rollups of a device."""
        to_us = epoch_us("to", until) if until else time.time_ns() // 1000
        from_us = epoch_us("from", since) if since else to_us - DEFAULT_RANGE_US[resolution]
        key = DeviceKey(check_name("x-tenant", tenant), check_name("device_id", device_id))
        rows = await self.reads.rollups(*key, resolution, from_us, to_us, limit + 1)
        return Metrics(
            device_id=device_id,
            resolution=resolution,
            buckets=[Bucket.of(row) for row in rows[:limit]],
            next=rfc3339(rows[limit].bucket_us) if len(rows) > limit else None,
        )

    async def top(
        self,
        tenant: str,
        resolution: Literal["hour", "day"],
        by: Measure,
        since: str | None,
        until: str | None,
        limit: int,
    ) -> Top:
        """The devices with the highest scores."""
        step_us = RESOLUTION_S[resolution] * 1_000_000
        to_us = epoch_us("to", until) if until else time.time_ns() // 1000
        from_us = epoch_us("from", since) if since else to_us - TOP_RANGE_US[resolution]
        buckets_us = range(-(-from_us // step_us) * step_us, to_us, step_us)
        if len(buckets_us) > TOP_BUCKETS_MAX:
            raise InputError("from", f"asks for more than {TOP_BUCKETS_MAX} buckets")
        asked = TopQuestion(check_name("x-tenant", tenant), resolution, by, buckets_us, limit)
        return Top.of(asked, await self.reads.top(asked))

    async def alerts(self, where: PeriodFilter, cursor: str | None, limit: int) -> AlertPage:
        """A page of alerts."""
        before = PeriodKey(*_position(cursor)) if cursor else None
        rows = await self.reads.alerts(where, before, limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        return AlertPage(
            alerts=[Alert.of(row, self.stale_after_s) for row in rows[:limit]],
            next=_cursor(last.raised_at_us, last.alert_id) if last else None,
        )

    async def sessions(self, where: PeriodFilter, cursor: str | None, limit: int) -> SessionPage:
        """A page of sessions."""
        before = PeriodKey(*_position(cursor)) if cursor else None
        rows = await self.reads.sessions(where, before, limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        return SessionPage(
            sessions=[Session.of(row) for row in rows[:limit]],
            next=_cursor(last.started_at_us, last.session_id) if last else None,
        )

    async def session(self, tenant: str, session_id: str) -> SessionRow:
        """One session; raises InputError 404."""
        row = await self.reads.session(check_name("x-tenant", tenant), session_id)
        if row is None:
            raise InputError("session_id", "is not known", status=404)
        return row


def _cursor(time_us: int, name: str) -> str:
    return base64.urlsafe_b64encode(f"{time_us}:{name}".encode()).decode()


def _position(cursor: str) -> tuple[int, str]:
    try:
        time_us, _, name = base64.urlsafe_b64decode(cursor).decode().partition(":")
        return int(time_us), name
    except ValueError as error:
        raise InputError("cursor", "is not one that this API gave") from error
