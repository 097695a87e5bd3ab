"""What is wrong, by name: devices whose records are refused, partitions that are far behind."""

from collections.abc import Sequence
from statistics import median
from typing import Final, Self

from pydantic import BaseModel

from fleetpulse.effects import Reason
from fleetpulse.live import Cause, PartitionStatus
from serve_apps.times import rfc3339

HOT: Final = "hot_partition"
HOT_BUSY_MIN: Final = 0.25
HOT_BEHIND_MIN_S: Final = 5.0
HOT_TIMES: Final = 4.0
"""A partition is hot that keeps its shard so many times busier than the others do theirs."""
LATE_MIN: Final = 100
"""Fewer late records are the network's way."""
LISTED_MAX: Final = 50


class NamedCause(BaseModel):
    """One device or partition. count: records of the last minutes; since: the first of them."""

    device: str | None = None
    partition: int | None = None
    cause: str
    count: int
    since: str

    @classmethod
    def of(cls, cause: Cause) -> Self:
        """As the API shows it."""
        return cls(
            device=cause.device or None,
            partition=cause.partition,
            cause=cause.cause,
            count=cause.count,
            since=rfc3339(cause.since_us),
        )


def device_causes(found: Sequence[Cause]) -> list[Cause]:
    """The worst first, without the few late records that any network brings."""
    worth = [each for each in found if each.cause != Reason.LATE or each.count >= LATE_MIN]
    return sorted(worth, key=lambda each: -each.count)[:LISTED_MAX]


def hot_partitions(parts: Sequence[PartitionStatus], now_us: int) -> list[Cause]:
    """Those far busier, or further behind, than the rest. count: records that wait."""
    running = [part for part in parts if part.state == "running"]
    found = []
    for part in running:
        others = [each for each in running if each is not part]
        if not others:
            break
        usual = median(each.busy_fraction for each in others)
        usual_s = median(each.behind_s for each in others)
        busy = part.busy_fraction > max(HOT_BUSY_MIN, HOT_TIMES * usual)
        behind = part.behind_s > max(HOT_BEHIND_MIN_S, HOT_TIMES * usual_s)
        if busy or behind:
            since_us = now_us - round(part.behind_s * 1e6)
            found.append(Cause(HOT, part.lag, since_us, partition=part.partition))
    return found
