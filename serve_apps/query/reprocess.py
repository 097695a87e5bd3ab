"""`/api/v1/reprocess`: computing the past anew on a person's word, and how far that is."""

import time
import uuid
from typing import Annotated, Final, Literal, Self

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, Field

from fleetpulse.errors import InputError
from fleetpulse.identity import DEFAULT_TENANT, check_name
from fleetpulse.recompute.job import Cause, Mark, State
from fleetpulse.recompute.ranges import DAY_US, TimeRange
from fleetpulse.recompute.requests import JobRow, Jobs
from serve_apps.query.service import PAGE_MAX
from serve_apps.times import epoch_us, rfc3339

DEVICES_MAX: Final = 1000
DAYS_MAX: Final = 31
_FUTURE_US: Final = 60_000_000

Tenant = Annotated[str, Header(alias="x-tenant")]


class Reprocess(BaseModel):
    """Which devices, and which part of their event time, `from` inclusive, `to` exclusive.

    cause: `profile` computes all of it with the profile that the device has now.
    """

    devices: list[str] = Field(min_length=1, max_length=DEVICES_MAX)
    since: str | int | float = Field(alias="from", description="RFC 3339 or epoch milliseconds")
    until: str | int | float = Field(alias="to", description="RFC 3339 or epoch milliseconds")
    cause: Literal["person", "profile"] = "person"


class Accepted(BaseModel):
    """A job per device, in the order of the devices. One that waits is widened."""

    jobs: list[int]


class Job(BaseModel):
    """marked, computing, following (promoted, an open bucket is yet to end), promoted, failed.

    error: why nothing was computed; of a promoted job, what the log could not give any more.
    """

    job_id: int
    device_id: str
    since: str = Field(serialization_alias="from")
    until: str = Field(serialization_alias="to")
    cause: Cause
    state: State
    marks: int
    promotions: int
    attempts: int
    view_epoch: int | None
    error: str
    marked_at: str
    started_at: str | None
    finished_at: str | None

    @classmethod
    def of(cls, row: JobRow) -> Self:
        """From its row."""
        return cls(
            job_id=row.job_id,
            device_id=row.device_id,
            since=rfc3339(row.from_us),
            until=rfc3339(row.to_us),
            cause=row.cause,
            state=row.state,
            marks=row.marks,
            promotions=row.passes,
            attempts=row.attempts,
            view_epoch=row.view_epoch,
            error=row.error,
            marked_at=rfc3339(row.marked_at_us),
            started_at=_time(row.started_at_us),
            finished_at=_time(row.finished_at_us),
        )


class JobPage(BaseModel):
    """Jobs, newest first. next: hand it in as `before` for the page that follows."""

    jobs: list[Job]
    next: int | None


def reprocess_routes(jobs: Jobs) -> APIRouter:
    """`/api/v1/reprocess`."""
    api = APIRouter(prefix="/api/v1/reprocess")

    @api.post("", status_code=202)
    async def reprocess(asked: Reprocess, tenant: Tenant = DEFAULT_TENANT) -> Accepted:
        """Mark devices and a range of time; a worker computes and promotes each."""
        marks = _marks(asked, check_name("x-tenant", tenant))
        unknown = await jobs.unknown(tenant, [mark.device_id for mark in marks])
        if unknown:
            raise InputError("devices", f"{unknown[0]} is not known", status=404)
        return Accepted(jobs=await jobs.mark(marks))

    @api.get("")
    async def listed(
        tenant: Tenant = DEFAULT_TENANT,
        state: State | None = None,
        before: int | None = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    ) -> JobPage:
        """Jobs that late records and people asked for."""
        rows = await jobs.jobs(check_name("x-tenant", tenant), state, before, limit + 1)
        more = rows[limit - 1].job_id if len(rows) > limit else None
        return JobPage(jobs=[Job.of(row) for row in rows[:limit]], next=more)

    @api.get("/{job_id}")
    async def one(job_id: int, tenant: Tenant = DEFAULT_TENANT) -> Job:
        """One job, for a week after its end."""
        row = await jobs.job(check_name("x-tenant", tenant), job_id)
        if row is None:
            raise InputError("job_id", "is not known", status=404)
        return Job.of(row)

    return api


def _marks(asked: Reprocess, tenant: str) -> list[Mark]:
    changed = TimeRange(epoch_us("from", str(asked.since)), epoch_us("to", str(asked.until)))
    if changed.to_us <= changed.from_us:
        raise InputError("to", "must be after from")
    if changed.to_us > time.time_ns() // 1000 + _FUTURE_US:
        raise InputError("to", "lies in the future")
    if changed.to_us - changed.from_us > DAYS_MAX * DAY_US:
        raise InputError("from", f"is more than {DAYS_MAX} days before to")
    if len(set(asked.devices)) < len(asked.devices):
        raise InputError("devices", "names a device twice")
    source = f"person:{uuid.uuid4().hex}"
    return [
        Mark(f"{source}:{at}", tenant, check_name("devices", device), changed, asked.cause)
        for at, device in enumerate(asked.devices)
    ]


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else rfc3339(time_us)
