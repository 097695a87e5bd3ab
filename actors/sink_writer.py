"""One sink in a thread of its own: writes are merged while it is busy, and kept in order.

The thread ends at `close`, or at the first error, which every later call raises.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread

from fleetpulse.effects import Effects
from fleetpulse.errors import Fenced, ProofOutdated, RetryLater
from fleetpulse.ports import Advance, Claim, EffectSink

Written = Callable[[Effects, Mapping[int, Advance]], None]
CLAIM_TIMEOUT_S = 15.0
IDLE_S = 1.0
BEHIND_FACTOR = 4
"""How much rarer a shard that is behind writes."""
RETRY_MAX_S = 120.0
DRAIN_OUTDATED_S = 1.0
"""For a write that was begun with an older proof than the one that draining began with."""
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    """What goes into one write."""

    effects: Effects = field(default_factory=Effects)
    advance: dict[int, Advance] = field(default_factory=dict)
    batches: int = 0
    urgent: bool = False

    def add(self, effects: Effects, advance: dict[int, Advance]) -> None:
        for partition, step in advance.items():
            held = self.advance.get(partition)
            if held and not held.owner_epoch == step.owner_epoch:
                raise Fenced("effects of an earlier ownership wait", partitions=(partition,))
        self.effects.extend(effects)
        for partition, step in advance.items():
            held = self.advance.get(partition)
            begin = held.previous_offset if held else step.previous_offset
            self.advance[partition] = Advance(step.owner_epoch, begin, step.next_offset)
        self.batches += 1


class SinkWriter:
    """Owns a sink and its thread. Called from the shard's loop only."""

    def __init__(
        self,
        sink: EffectSink,
        *,
        interval_s: float,
        backlog_max: int,
        urgent: Callable[[Effects], bool] = lambda _: False,
        written: Written = lambda _effects, _advance: None,
    ) -> None:
        """interval_s: least time between writes that are not urgent. written: after each write."""
        self.name = sink.name
        self.done: dict[int, int] = {}
        """Per partition, the offset up to which the sink has every effect."""
        self.write_ms = 0.0
        self.behind = False
        """The shard works off a backlog: fewer and larger writes bring it to the head sooner."""
        self._sink = sink
        self._interval_s = interval_s
        self._backlog_max = backlog_max
        self._urgent = urgent
        self._written = written
        self._changed = Condition()
        self._waiting: list[_Waiting] = []
        self._claims: list[tuple[Sequence[int], Future[dict[int, Claim]]]] = []
        self._writing = False
        self._draining = False
        self._closing = False
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name=f"sink-{self.name}", daemon=True)
        self._thread.start()

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """Claim in the sink's thread; raises what the sink raises."""
        answer: Future[dict[int, Claim]] = Future()
        with self._changed:
            self._check()
            self._claims.append((partitions, answer))
            self._changed.notify_all()
        try:
            return answer.result(CLAIM_TIMEOUT_S)
        except TimeoutError as error:
            raise RetryLater(f"sink {self.name} did not answer a claim") from error

    def submit(self, effects: Effects, advance: dict[int, Advance]) -> None:
        """Hand over the effects of one cut, in order. Raises the thread's error."""
        self._check()
        with self._changed:
            first = not self._waiting
            job = self._job_for(effects)
            job.add(effects, advance)
            job.urgent |= self._urgent(effects)
            # What joins others that wait is no news to the thread: it rests, or writes.
            if first or job.urgent or self._at_bound():
                self._changed.notify_all()

    @property
    def full(self) -> bool:
        """At the bound: the shard must pause."""
        self._check()
        return self._at_bound()

    def drain(self, deadline_s: float) -> None:
        """Wait until everything handed over is written. deadline_s: on time.monotonic's scale."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()
            idle = self._changed.wait_for(
                lambda: self._error or not (self._waiting or self._writing),
                max(0.0, deadline_s - time.monotonic()),
            )
            self._draining = False
        self._check()
        if not idle:
            raise RetryLater(f"sink {self.name} did not drain in time")

    def begin(self, partition: int, next_offset: int) -> None:
        """A claimed partition: the sink has the effects up to here."""
        self.done[partition] = next_offset

    def forget(self, partitions: Sequence[int]) -> None:
        """Another shard owns these now."""
        for partition in partitions:
            self.done.pop(partition, None)

    def close(self, timeout_s: float = 10.0) -> None:
        """End the thread after the write under way; what still waits is not written."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as error:  # noqa: BLE001 - the loop raises it in the shard's thread
            self._fail(error)
        finally:
            self._sink.close()

    def _turn(self) -> bool:
        begun = time.monotonic()
        with self._changed:
            self._changed.wait_for(self._called, IDLE_S)
            if self._closing:
                return False
            claims, self._claims = self._claims, []
        for partitions, answer in claims:
            self._answer(partitions, answer)
        self._write()
        with self._changed:
            interval_s = self._interval_s * (BEHIND_FACTOR if self.behind else 1)
            rest = begun + interval_s - time.monotonic()
            self._changed.wait_for(self._hurried, max(0.0, rest))
        return True

    def _called(self) -> bool:
        return bool(self._waiting or self._claims or self._closing)

    def _hurried(self) -> bool:
        urgent = any(job.urgent for job in self._waiting) or self._at_bound()
        return bool(urgent or self._claims or self._draining or self._closing)

    def _at_bound(self) -> bool:
        return sum(job.batches for job in list(self._waiting)) >= self._backlog_max

    def _job_for(self, effects: Effects) -> _Waiting:
        """Deletions are written alone: rows of before and after must not mix in one write."""
        newest = self._waiting[-1] if self._waiting else None
        if newest is None or effects.forgotten or newest.effects.forgotten:
            self._waiting.append(_Waiting())
        return self._waiting[-1]

    def _answer(self, partitions: Sequence[int], answer: "Future[dict[int, Claim]]") -> None:
        try:
            answer.set_result(self._sink.claim(partitions))
        except BaseException as error:
            answer.set_exception(error)
            raise

    def _write(self) -> None:
        with self._changed:
            jobs, self._waiting = self._waiting, []
            self._writing = bool(jobs)
        for job in jobs:
            begun = time.monotonic()
            self._persist(job, begun + RETRY_MAX_S)
            self.write_ms = (time.monotonic() - begun) * 1000
            # First: a snapshot of what is done waits until people were told of it.
            self._written(job.effects, job.advance)
            for partition, step in job.advance.items():
                self.done[partition] = step.next_offset
        with self._changed:
            self._writing = False
            self._changed.notify_all()

    def _persist(self, job: _Waiting, deadline_s: float) -> None:
        """Write, again while the sink is away; repeating a write that succeeded is refused."""
        while True:
            try:
                self._sink.write(job.effects, job.advance)
            except RetryLater as error:
                if time.monotonic() > deadline_s:
                    raise
                logger.warning("sink %s: %s", self.name, error)
                if isinstance(error, ProofOutdated):
                    deadline_s = self._await_proof(deadline_s)
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, error.retry_after_s):
                        raise
            else:
                return

    def _await_proof(self, deadline_s: float) -> float:
        """Only the loop's next poll brings one, so the loop must not wait for this write.

        Claims that it waits for are answered now. While it drains it cannot poll: if the proof
        that draining began with is outdated too, the group has given the partitions away, and
        every second that the write is tried again is one without a new incarnation.
        """
        with self._changed:
            claims, self._claims = self._claims, []
            draining = self._draining
        for partitions, answer in claims:
            self._answer(partitions, answer)
        return min(deadline_s, time.monotonic() + DRAIN_OUTDATED_S) if draining else deadline_s

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._writing = False
            claims, self._claims = self._claims, []
            self._changed.notify_all()
        for _, answer in claims:
            answer.set_exception(error)
