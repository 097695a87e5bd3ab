"""Support: computes *next* for jobs of the blackboard and promotes it.

Each step is a function of what the blackboard and the log hold; a worker may die after any of
them, and the next one that claims the job does the same again.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from actors.rerun import SLACK_US, Again, Span
from adapters.kafka.corrections import corrections
from adapters.kafka.range_reader import RangeReader
from adapters.postgres.blackboard import Blackboard
from adapters.postgres.promotion import Pass, Promoted, Promotion
from fleetpulse.errors import ConfigError, Fenced, RetryLater
from fleetpulse.ports import Scorer
from fleetpulse.recompute.correction import Correction
from fleetpulse.recompute.job import Claimed, follow_in_s
from fleetpulse.recompute.ranges import DAY_US, begin_log_time_us, left_out
from fleetpulse.recompute.runs import LiveRun, NextRun
from fleetpulse.rerun import engine_at
from fleetpulse.settings import Settings

logger = logging.getLogger(__name__)

BEHIND_RETRY_S = 0.5
AWAY_RETRY_S = 5.0
NOT_THERE = "its late record is behind the log's end: was the telemetry topic re-created since?"
NOTHING_LEFT = "the log has no record of the device any more"


@dataclass(frozen=True, slots=True)
class Support:
    """A worker's tools. Used from one thread."""

    settings: Settings
    blackboard: Blackboard
    log: RangeReader
    scorer: Scorer
    topic_id: str

    def work(self) -> int:
        """Claim what is due of one partition and carry it through; answers how many jobs."""
        jobs = self.claim()
        if jobs:
            self._carry(jobs)
        return len(jobs)

    def _carry(self, jobs: list[Claimed]) -> None:
        try:
            ready, end = self.ready(jobs)
            self.conclude(ready, self.compute(ready, end) if ready else {}, end)
        except Fenced as error:
            logger.warning("recompute: %s", error)
        except RetryLater as error:
            logger.warning("recompute: %s", error)
            for job in jobs:
                self.blackboard.postpone(job, AWAY_RETRY_S)
        except Exception as error:
            if len(jobs) > 1:  # one of them is the cause
                for job in jobs:
                    self._carry([job])
                return
            logger.exception("recompute: %s", jobs[0].key.decode())
            self.blackboard.fail(jobs[0], f"{type(error).__name__}: {error}")

    def claim(self) -> list[Claimed]:
        """Step 1: due jobs of one partition."""
        limits = self.settings.recompute
        return self.blackboard.claim(limits.devices_max, limits.lease_s)

    def ready(self, jobs: list[Claimed]) -> tuple[list[Claimed], int]:
        """Step 2: jobs whose records live has passed, and up to where it is; others wait.

        Only what live has committed is replaced: whatever it writes later is of later records.
        """
        end = self.blackboard.live_offset(self.topic_id, jobs[0].partition) or 0
        waiting = [job for job in jobs if end == 0 or end < job.needs_offset]
        log_end = self.log.bounds(jobs[0].partition)[1] if waiting else 0
        for job in waiting:
            if job.needs_offset > log_end:
                self.blackboard.fail(job, NOT_THERE)
            else:
                self.blackboard.postpone(job, BEHIND_RETRY_S)
        return [job for job in jobs if job not in waiting], end

    def compute(self, jobs: list[Claimed], end: int) -> Mapping[bytes, Correction]:
        """Step 3: live's run and the repaired run, over the same part of the log.

        If that shows that the part is too short, over a longer one, as far as the log reaches back.
        """
        lease = _Lease(self.blackboard, jobs, self.settings.recompute.lease_s)
        span, back_us = self._span(jobs, end), DAY_US
        while True:
            found, short = self._compared(jobs, span, lease)
            if not short:
                return found
            longer = Span.since(self.log, span.partition, span.from_us - back_us, end)
            if longer.from_us >= span.from_us:
                return found
            span, back_us = longer, 2 * back_us

    def _compared(
        self, jobs: list[Claimed], span: Span, lease: "_Lease"
    ) -> tuple[Mapping[bytes, Correction], bool]:
        """What a span gives, and whether a longer one would give more."""
        again = Again(self.log, self.scorer, self.settings.kafka.partitions)
        keys = frozenset(job.key for job in jobs)
        engine = again.engine(span)
        wanted = [job.wanted for job in jobs]
        live = LiveRun(engine, wanted)
        for turn in again.run(span, keys, engine):
            live.take(turn)
            lease.hold()
        next_ = NextRun(live, wanted, span.partition, self.scorer)
        for batch in again.records(span, keys):
            next_.take(batch)
            lease.hold()
        complete_us = self._complete_from_us(span)
        older = self.blackboard.heard_before(jobs, complete_us) if complete_us else frozenset()
        found = next_.corrections(complete_us, older)
        return found, next_.short(span.from_us, found)

    def _complete_from_us(self, span: Span) -> int:
        """Log time from which on nothing is missing; 0: no record came before the span.

        A topic that was made anew begins as one that retention has cut.
        """
        if span.from_us or not self.blackboard.earlier_log(self.topic_id, span.partition):
            return span.from_us
        return self.log.time_at(span.partition, span.begin) + SLACK_US

    def conclude(self, jobs: list[Claimed], found: Mapping[bytes, Correction], end: int) -> None:
        """Step 4: promote each job, or end it where nothing is left to compute."""
        for job in jobs:
            correction = found.get(job.key)
            if correction is None:
                self.blackboard.finish(job, NOTHING_LEFT)
                continue
            if not job.passes and left_out(job.changed, correction.exact_from_us) == "all":
                self.blackboard.finish(job, remark(job, correction))
                continue
            try:
                epoch = self.promote(job, correction, end)
            except Fenced as error:
                logger.warning("recompute: %s", error)
                continue
            logger.info("recompute: view %d of %s promoted", epoch, job.key.decode())

    def promote(self, job: Claimed, correction: Correction, end: int) -> int:
        """One job's transaction; answers the view epoch. Fenced if it is not ours any more."""

        def messages(promoted: Promoted) -> list[tuple[str, int, bytes, bytes]]:
            lives = promoted.alerts
            events = [each for life in lives for each in (life.raised, life.cleared) if each]
            return [
                (each.topic, each.partition, each.key or b"", each.value)
                for each in corrections(
                    self.settings.kafka,
                    job.partition,
                    correction,
                    promoted.view_epoch,
                    [*events, *promoted.withdrawn],
                    promoted.sessions,
                )
            ]

        due_s = follow_in_s(job.passes, correction.open_until_us, time.time_ns() // 1000)
        computed = Pass(end, due_s, remark(job, correction))
        promotion = Promotion(self.blackboard, self.topic_id)
        return promotion.promote(job, correction, messages, computed)

    def _span(self, jobs: list[Claimed], end: int) -> Span:
        """From where the earliest range needs the log."""
        partition = jobs[0].partition
        now_us = time.time_ns() // 1000
        known = engine_at(
            partition, self.settings.kafka.partitions, self.log.controls(now_us)
        ).partitions[partition]
        begins = [
            begin_log_time_us(job.changed, profile, self.blackboard.session_begin(job, profile))
            for job in jobs
            for profile in [known.control.profile_of(job.key)]
        ]
        times = [each for each in begins if each is not None]
        if len(times) < len(begins):
            return Span.whole(self.log, partition, end)
        return Span.since(self.log, partition, min(times), end)


def remark(job: Claimed, correction: Correction) -> str:
    """What the log cannot give any more; empty: it gives all."""
    how_much = left_out(job.changed, correction.exact_from_us)
    if how_much == "nothing":
        return ""
    at = datetime.fromtimestamp(correction.exact_from_us / 1e6, UTC).isoformat(timespec="seconds")
    return f"{how_much} of it stays as it was: the log no longer gives what begins before {at}"


class _Lease:
    """Prolonged while the worker works; Fenced when all of it is lost."""

    def __init__(self, blackboard: Blackboard, jobs: list[Claimed], lease_s: float) -> None:
        self._blackboard = blackboard
        self._jobs = jobs
        self._lease_s = lease_s
        self._held_s = time.monotonic()

    def hold(self) -> None:
        """Often; asks the blackboard a few times per lease."""
        if time.monotonic() - self._held_s < self._lease_s / 4:
            return
        self._held_s = time.monotonic()
        if not self._blackboard.renew(self._jobs, self._lease_s):
            raise Fenced("another worker took over")


def support(settings: Settings, topic_id: str, scorer: Scorer, *, jobs_max: int) -> int:
    """Work until nothing is due or about `jobs_max` jobs are done; answers how many were."""
    if settings.postgres.dsn is None:
        raise ConfigError("FLEETPULSE_POSTGRES__DSN: recomputation needs it")
    with ExitStack() as ends:
        blackboard = Blackboard(settings.postgres.dsn.get_secret_value())
        ends.callback(blackboard.close)
        log = RangeReader(settings.kafka, client_id="recompute-support")
        ends.callback(log.close)
        worker = Support(settings, blackboard, log, scorer, topic_id)
        done = 0
        while done < jobs_max and (count := worker.work()):
            done += count
        return done
