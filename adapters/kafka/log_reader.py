"""LogReader on Kafka: a member of the shards' group that starts only where it is told.

The group's committed offsets are the "kafka" sink's progress; a shard starts at its snapshot.
"""

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from adapters.kafka.client import REQUEST_TIMEOUT_S, meaning_of, member_config
from adapters.kafka.held_ends import HeldEnds
from fleetpulse.errors import Fenced, FleetpulseError, PartitionStopped
from fleetpulse.kernel import native
from fleetpulse.ports import AssignmentListener, RecordBatch
from fleetpulse.settings import KafkaSettings

GROUP: Final = "shards"
SLOT: Final = "shard-"
"""Begins the client id of a slot's member and, behind the topic prefix, its transactional id."""
ENDS_INTERVAL_S: Final = 0.1
GATHER_S: Final = 0.002
"""For the other partitions of a fetch, once its first record is there: brokers gather more."""
_log = logging.getLogger(__name__)
_GETTERS: Final = (
    Message.error,
    Message.partition,
    Message.offset,
    Message.timestamp,
    Message.key,
    Message.value,
)


@dataclass(frozen=True, slots=True)
class Membership:
    """A proof of membership for transactions, and what was owned when it was taken.

    assignments: partition -> a number that is new with each assignment.
    """

    metadata: object
    assignments: Mapping[int, int]


class KafkaLogReader:
    """All methods but `membership` and `end_offset` are called from one thread.

    Those two answer what the newest poll saw: another thread that asks the consumer itself waits
    for a lock that polling hardly ever gives up (25 s were seen).
    """

    def __init__(
        self, settings: KafkaSettings, listener: AssignmentListener, *, client_id: str
    ) -> None:
        self._topic = settings.topic("telemetry")
        self._listener = listener
        self._numbers = count(1)
        self._membership: Membership | None = Membership(b"", {})
        self._ends: Mapping[int, int] = {}  # replaced, never changed
        self._ends_read_s = 0.0
        self._held_ends = HeldEnds(settings, client_id=client_id)
        self._started: set[int] = set()
        self._held: set[int] = set()
        self._to_commit: dict[int, int] = {}  # replaced, never changed
        self._failures: deque[FleetpulseError] = deque()
        self._consumer = Consumer(
            member_config(settings, client_id=client_id, group=settings.topic(GROUP))
        )
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self, records_max: int, timeout_s: float) -> RecordBatch:
        """Records that one fetch brought, or more if more are there already.

        Raises PartitionStopped for a partition whose next record the log does not have; the
        other partitions go on with the next poll.
        """
        if self._failures:
            raise self._failures.popleft()
        messages = self._consumer.consume(1, timeout_s)
        if messages:
            messages += self._consumer.consume(records_max - 1, GATHER_S)
        self._refresh(self.membership().assignments)
        self._read_ends()
        self._commit()
        batch = _usable(messages)
        if batch is None:
            messages = self._without_errors(messages)
            if not messages and self._failures:
                raise self._failures.popleft()
            batch = columns(messages)
        return batch

    def start(self, offsets: Mapping[int, int]) -> None:
        """Begin, or begin anew, at these offsets; also ends a pause."""
        positions = [TopicPartition(self._topic, p, offset) for p, offset in offsets.items()]
        # Not a seek: it is refused for a partition that stopped or has not yet begun.
        self._consumer.incremental_unassign(self._positions(list(offsets)))
        self._consumer.incremental_assign(positions)
        self._started |= offsets.keys()
        self._held -= offsets.keys()
        self._consumer.resume(positions)

    def pause(self, partitions: Sequence[int]) -> None:
        """Stop fetching, stay the owner."""
        self._held |= self._started.intersection(partitions)
        self._consumer.pause(self._positions(partitions))

    def resume(self, partitions: Sequence[int]) -> None:
        """Fetch again."""
        self._held.difference_update(partitions)
        self._consumer.resume(self._positions(partitions))

    def end_offset(self, partition: int) -> int | None:
        """The log's end, as of the newest fetch, or of the last seconds while it is paused.

        None before the first. From any thread.
        """
        return self._ends.get(partition)

    def membership(self) -> Membership:
        """For the sink's transactions, as of the newest poll. From any thread.

        A membership that begins after a loss begins when the callback of the loss has run, so a
        proof never comes with assignments of an earlier one. Raises Fenced once closed.
        """
        membership = self._membership
        if membership is None:
            raise Fenced("the reader has left the group")
        return membership

    def commit_soon(self, offsets: Mapping[int, int]) -> None:
        """With the next poll. From any thread; for a sink that has no transaction to do it in."""
        self._to_commit = {**self._to_commit, **offsets}

    def close(self) -> None:
        """Leave the group; `revoked` is called first."""
        self._consumer.close()
        self._held_ends.close()
        self._membership = None

    def _refresh(self, assignments: Mapping[int, int]) -> None:
        """9 µs, once per poll and callback."""
        with suppress(RuntimeError):  # closing: the proof held stays good until `revoked` returns
            self._membership = Membership(self._consumer.consumer_group_metadata(), assignments)

    def _commit(self) -> None:
        offsets, self._to_commit = self._to_commit, {}
        if offsets:
            positions = [TopicPartition(self._topic, p, offset) for p, offset in offsets.items()]
            self._consumer.commit(offsets=positions, asynchronous=True)

    def _read_ends(self) -> None:
        now_s = time.monotonic()
        if now_s - self._ends_read_s < ENDS_INTERVAL_S:
            return
        self._ends_read_s = now_s
        marks = {
            each: self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, each), cached=True
            )
            for each in self._started
        }
        fetched = {each: end for each, (_, end) in marks.items() if end >= 0}
        held = self._held_ends.of(self._held)
        self._ends = fetched | {p: max(end, fetched.get(p, 0)) for p, end in held.items()}

    def _positions(self, partitions: Sequence[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, each) for each in partitions if each in self._started]

    def _on_assign(self, consumer: Consumer, added: list[TopicPartition]) -> None:
        # Nothing is fetched until start: an assignment here would begin at the group's offsets.
        consumer.incremental_assign([])
        if added:
            numbered = {each.partition: next(self._numbers) for each in added}
            self._refresh({**self.membership().assignments, **numbered})
            self._listener.assigned(list(numbered))

    def _on_revoke(self, consumer: Consumer, removed: list[TopicPartition]) -> None:
        self._refresh(self.membership().assignments)
        try:
            self._listener.revoked([each.partition for each in removed])
            self._commit()
        finally:
            self._forget(removed)
            self._unassign(consumer, removed)

    def _on_lost(self, consumer: Consumer, removed: list[TopicPartition]) -> None:
        self._forget(removed)
        try:
            self._listener.lost([each.partition for each in removed])
        finally:
            self._unassign(consumer, removed)

    def _forget(self, removed: list[TopicPartition]) -> None:
        held = self.membership()
        gone = {each.partition for each in removed}
        self._failures = deque(
            failure
            for failure in self._failures
            if not (isinstance(failure, PartitionStopped) and failure.partition in gone)
        )
        self._membership = Membership(
            held.metadata, {p: n for p, n in held.assignments.items() if p not in gone}
        )

    def _unassign(self, consumer: Consumer, removed: list[TopicPartition]) -> None:
        consumer.incremental_unassign([each for each in removed if each.partition in self._started])
        gone = {each.partition for each in removed}
        self._started -= gone
        self._held -= gone

    def _without_errors(self, messages: list[Message]) -> list[Message]:
        for message in messages:
            error = message.error()
            if error is None:
                continue
            partition = message.partition()
            if partition is not None and partition >= 0 and _stops(error):
                self._failures.append(self._stopped(partition, error))
            elif error.code() == KafkaError._MAX_POLL_EXCEEDED:
                _log.warning("the loop did not poll for too long; its partitions are given up")
            elif not error.retriable():
                self._failures.append(meaning_of(error, "read telemetry"))
        return [message for message in messages if message.error() is None]

    def _stopped(self, partition: int, error: KafkaError) -> PartitionStopped:
        if error.code() in _TOPIC_GONE:
            return PartitionStopped(
                partition,
                f"topic {self._topic} was deleted or made anew",
                remedy="remove the snapshots and progress that belong to the old topic",
            )
        try:
            first, end = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=REQUEST_TIMEOUT_S
            )
        except KafkaException:
            first, end = -1, -1
        return PartitionStopped(
            partition,
            f"the log does not have the next record, only offsets {first} to {end} ({error.str()})",
            remedy="restore the log or a snapshot within this range, or remove the partition's"
            " snapshots to start at its first record and accept what is missing",
        )


_TOPIC_GONE: Final = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_TOPIC_ID,
}


def _stops(error: KafkaError) -> bool:
    missing = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}
    return error.code() in missing | _TOPIC_GONE


def columns(messages: list[Message]) -> RecordBatch:
    """Messages as a batch; none of them is an error."""
    batch = _usable(messages)
    assert batch is not None
    return batch


def _usable(messages: list[Message]) -> RecordBatch | None:
    """Messages as a batch; None if any is an error."""
    found = native.messages(messages, _GETTERS)
    if found is None:
        return None
    partitions, offsets, times_ms = (np.frombuffer(each, np.int64) for each in found[:3])
    return RecordBatch(
        partitions=partitions.astype(np.int32),
        offsets=offsets,
        log_time_us=times_ms * 1000,
        keys=found[3],
        values=found[4],
    )
