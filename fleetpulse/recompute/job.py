"""Jobs on the blackboard: which device and time must be computed anew, and how far that is.

marked → computing → promoted, or following while a bucket is open or live's alert state differs;
a following job is computed again. A worker that dies leaves its job to the lease's end.
"""

from dataclasses import dataclass
from typing import Literal

from fleetpulse.recompute.ranges import TimeRange

Cause = Literal["late", "profile", "person"]
State = Literal["marked", "computing", "following", "promoted", "failed"]
ATTEMPTS_MAX = 5
"""Failures in a row after which a job that has promoted nothing waits for a person."""
RETRY_MAX_S = 600.0
_RETRY_MIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A range of a device's event time, [from_us, to_us), that must be computed anew.

    source: repeating a mark with the same source changes nothing.
    """

    source: str
    tenant: str
    device_id: str
    changed: TimeRange
    cause: Cause
    topic_id: str = ""
    """Of the telemetry topic that needs_offset is of; empty: of any."""
    needs_offset: int = 0
    """Live must be at or beyond it for the range to be computed: where the late record is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the runs need to know: a device's key, and which of its event time is asked for."""

    key: bytes
    changed: TimeRange
    cause: Cause
    done_until_us: int = 0
    """Event time up to which what is closed is known already."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job in a worker's hands. Whoever has another lease_epoch has lost it."""

    job_id: int
    tenant: str
    device_id: str
    partition: int
    changed: TimeRange
    cause: Cause
    lease_epoch: int
    marks: int
    """How many marks it stood for when it was claimed."""
    passes: int
    """Promotions so far."""
    attempts: int
    """Failures since the last one."""
    needs_offset: int
    """Live must have committed up to it before this can be computed."""
    done_until_us: int
    """Event time up to which what is closed was promoted, with these marks."""

    @property
    def key(self) -> bytes:
        """The device's record key."""
        return f"{self.tenant}/{self.device_id}".encode()

    @property
    def wanted(self) -> Wanted:
        """What must be computed."""
        return Wanted(self.key, self.changed, self.cause, self.done_until_us)


def follow_in_s(passes: int, open_until_us: int, now_us: int) -> float:
    """When to look again: at the end of the next open bucket, or soon if that is past."""
    return max(_retry_s(passes), min((open_until_us - now_us) / 1e6, RETRY_MAX_S))


def retry_in_s(attempts: int) -> float:
    """When to try again after a failure."""
    return _retry_s(attempts)


def gives_up(attempts: int, passes: int) -> bool:
    """A job that hides live's open buckets must go on; another may wait for a person."""
    return attempts >= ATTEMPTS_MAX and not passes


def _retry_s(number: int) -> float:
    return float(min(_RETRY_MIN_S * 2.0 ** min(number, 20), RETRY_MAX_S))
