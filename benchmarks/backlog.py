"""A log that is filled while all partitions are paused, and then worked off by the shards alone."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from actors.sink_writer import BEHIND_FACTOR
from adapters.kafka.controls import publish
from adapters.postgres.partition_pauses import PostgresPartitionPauses
from benchmarks.check import await_processed
from benchmarks.log_progress import LogProgress
from benchmarks.plan import LoadPlan
from benchmarks.stack import MeasuredStack
from fleetpulse.errors import FleetpulseError, RetryLater
from fleetpulse.settings import Settings
from simulator.targets.kafka import KafkaTarget

_SETTLE_S: Final = 3.0
"""Shards ask for pauses once a second."""
_POLL_S: Final = 0.02
_CLOSE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class WorkedOff:
    """Times on time.time's scale.

    resumed_s: when the partitions were let go; what CPU is spent from then on is counted.
    begin_s: when a shard had its first record, or at most one commit earlier.
    end_s: every sink had everything.
    """

    resumed_s: float
    begin_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """From the first record to the last effect."""
        return self.end_s - self.begin_s


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A stack whose shards fetch nothing until `work_off`."""

    settings: Settings
    _pauses: PostgresPartitionPauses

    def fill(self, plan: LoadPlan) -> int:
        """Profile and frames of `plan`, of the time until now, into the log; answers how many
        samples that is. Raises FleetpulseError when the log does not take all.
        """
        kafka = self.settings.kafka
        publish(kafka, [plan.profile], [plan.assignment])
        fleet = plan.fleet(start_us=time.time_ns() // 1000 - round(plan.seconds * 1e6))
        target = KafkaTarget(kafka, frame_samples=plan.frame_samples)
        for number in range(plan.rounds):
            target.send(fleet.frames(number))
        target.close(_CLOSE_S)
        counts = target.tally.counts()
        if counts.accepted != counts.sent:
            raise FleetpulseError(f"the log did not take the backlog: {counts.reasons}")
        return counts.accepted

    def work_off(self, timeout_s: float) -> WorkedOff:
        """Let the shards go; returns when all is processed, raises RetryLater."""
        progress = LogProgress(self.settings.kafka)
        held = progress.committed()
        for partition in range(self.settings.kafka.partitions):
            self._pauses.resume(partition)
        resumed_s = time.time()
        moved_s = _await_moved(progress, held, timeout_s)
        await_processed(self.settings, timeout_s)
        commit_s = BEHIND_FACTOR * self.settings.shard.kafka_commit_interval_ms / 1000
        return WorkedOff(resumed_s, max(resumed_s, moved_s - commit_s), time.time())


@contextmanager
def held_back(stack: MeasuredStack) -> Iterator[HeldBack]:
    """Pauses all partitions of a stack that has just started."""
    pauses = PostgresPartitionPauses(stack.dsn)
    try:
        for partition in range(stack.settings.kafka.partitions):
            pauses.pause(partition, "bench")
        time.sleep(_SETTLE_S)
        yield HeldBack(stack.settings, pauses)
    finally:
        pauses.close()


def _await_moved(progress: LogProgress, held: dict[int, int], timeout_s: float) -> float:
    deadline_s = time.monotonic() + timeout_s
    while progress.committed() == held:
        if time.monotonic() > deadline_s:
            raise RetryLater(f"no shard began within {timeout_s:g} s")
        time.sleep(_POLL_S)
    return time.time()
