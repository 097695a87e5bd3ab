"""What people ask of the recomputation: marks, and how far their jobs are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fleetpulse.recompute.job import Cause, Mark, State


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the blackboard has it. Times are epoch microseconds; None: not yet."""

    job_id: int
    tenant: str
    device_id: str
    from_us: int
    to_us: int
    cause: Cause
    state: State
    marks: int
    passes: int
    attempts: int
    view_epoch: int | None
    error: str
    marked_at_us: int
    started_at_us: int | None
    finished_at_us: int | None


class Jobs(Protocol):
    """Asks and answers within seconds, or raises DatabaseUnavailable."""

    async def unknown(self, tenant: str, device_ids: Sequence[str]) -> list[str]:
        """Those of the devices that nothing was ever heard of."""

    async def mark(self, marks: Sequence[Mark]) -> list[int]:
        """One job per mark; a device's unfinished job is widened."""

    async def job(self, tenant: str, job_id: int) -> JobRow | None:
        """One job."""

    async def jobs(
        self, tenant: str, state: State | None, before: int | None, limit: int
    ) -> list[JobRow]:
        """Newest first, those with a lower id than `before`."""

    async def close(self) -> None:
        """Give connections back."""
