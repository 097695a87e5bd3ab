"""The recompute controller: late records become marks, due jobs get workers, corrections go out.

It holds nothing that must survive: views, jobs and leases are on the blackboard in PostgreSQL, and
how far it has read `telemetry.late` is committed with the marks. A newer controller fences it.
"""

import logging
from typing import Final, Protocol

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.durable import DurableRecord, DurableWriter
from adapters.kafka.late_reader import LateReader
from adapters.kafka.stale_header import STALE
from adapters.postgres.blackboard import RECREATED, Blackboard
from adapters.postgres.marks import LateMarkSink
from fleetpulse.effects import Effects
from fleetpulse.errors import ConfigError
from fleetpulse.ports import Advance, Claim
from fleetpulse.recompute.status import RecomputeStatus
from fleetpulse.settings import Settings

logger = logging.getLogger(__name__)

OUTBOX_MESSAGES: Final = 1000
OUTBOX_TIMEOUT_S: Final = 30.0


class Workers(Protocol):
    """Who computes."""

    @property
    def free(self) -> bool:
        """Whether another may be started."""

    def start(self, settings: Settings, topic_id: str) -> None:
        """Begin another."""


class Controller:
    """One incarnation: steps that may be stopped between any two. Used from one thread."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        if settings.postgres.dsn is None:
            raise ConfigError("FLEETPULSE_POSTGRES__DSN: recomputation needs it")
        dsn = settings.postgres.dsn.get_secret_value()
        self._settings = settings
        self._admin = KafkaAdmin(settings.kafka)
        self.topic_id = self._admin.topic_id()
        self.blackboard = Blackboard(dsn)
        self._marks = LateMarkSink(
            dsn,
            topic_id=self._admin.topic_id("telemetry.late"),
            log_id=self.topic_id,
            delay_s=settings.recompute.delay_s,
        )
        self._claims: dict[int, Claim] = self._marks.claim(range(settings.kafka.partitions))
        if ended := self.blackboard.end_others(self.topic_id):
            logger.warning("recompute: %d jobs have ended: %s", ended, RECREATED)
        self._late = LateReader(
            settings.kafka, {each: claim.next_offset for each, claim in self._claims.items()}
        )
        self._writer = DurableWriter(settings.kafka, client_id="recompute")
        self._workers = workers

    def collect(self, timeout_s: float = 0.0) -> int:
        """Late records become marks, with the offsets up to where they were read."""
        found = self._late.read(timeout_s)
        if not found.next_offsets:
            return 0
        advance = {
            each: Advance(
                self._claims[each].owner_epoch, self._claims[each].next_offset or 0, next_offset
            )
            for each, next_offset in found.next_offsets.items()
        }
        self._marks.write(Effects(late=found.records), advance)
        for each, step in advance.items():
            self._claims[each] = Claim(step.owner_epoch, step.next_offset)
        return len(found.records)

    def assign(self) -> None:
        """A worker for what is due, if one is free."""
        if self._workers.free and self.blackboard.due():
            self._workers.start(self._settings, self.topic_id)

    def publish(self) -> int:
        """Corrections to Kafka; each is forgotten after Kafka has it, so it may come twice."""
        waiting = self.blackboard.outbox(OUTBOX_MESSAGES)
        if waiting:
            headers = {self._settings.kafka.topic("alerts"): STALE}
            self._writer.write(
                [
                    DurableRecord(
                        each.topic, each.key, each.value, each.partition, headers.get(each.topic)
                    )
                    for each in waiting
                ],
                timeout_s=OUTBOX_TIMEOUT_S,
            )
            self.blackboard.sent(waiting)
        return len(waiting)

    def status(self) -> RecomputeStatus:
        """Asks the blackboard and the log."""
        counts, behind = self.blackboard.counts(), self.blackboard.unpromoted()
        ends = self._admin.watermarks() if behind else {}
        return RecomputeStatus(
            marked=counts.marked,
            computing=counts.computing,
            following=counts.following,
            failed=counts.failed,
            outbox=counts.outbox,
            tether_s=round(counts.oldest_s, 3),
            tether_records=sum(max(0, ends[each][1] - at) for each, at in behind.items()),
        )

    def close(self) -> None:
        """Let go of every connection; workers that run go on."""
        self._late.close()
        self._marks.close()
        self.blackboard.close()
