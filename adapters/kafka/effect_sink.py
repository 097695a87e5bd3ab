"""EffectSink "kafka": every result to its topic, in one transaction with the group's offsets.

The offsets in the transaction are the sink's progress and its fence: the broker refuses them
from a member that has lost its partitions, so they are sent also when there are no rows.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from adapters.kafka.bounded_call import Forgotten, bounded
from adapters.kafka.client import (
    ANSWER_TIMEOUT_MS,
    REJECTED_BYTES_MAX,
    REQUEST_TIMEOUT_S,
    meaning_of,
    producer_config,
)
from adapters.kafka.encode import (
    encode_alert,
    encode_rejected,
    encode_rollups,
    encode_scores,
    encode_tombstone,
)
from adapters.kafka.encode_events import encode_presence, encode_session
from adapters.kafka.log_reader import SLOT, Membership
from adapters.kafka.stable_offsets import StableOffsets
from adapters.kafka.stale_header import Headers, headers_of
from fleetpulse.effects import Effects, Resolution
from fleetpulse.errors import BrokerUnavailable, Fenced, FleetpulseError, ProofOutdated
from fleetpulse.identity import DeviceKey
from fleetpulse.ports import Advance, Claim
from fleetpulse.settings import KafkaSettings

_ROLLUP_TOPICS: Final[dict[Resolution, str]] = {
    "second": "aggregates.second",
    "minute": "aggregates.minute",
}
# Out of the group, or another producer has this slot's transactional id.
_FENCED: Final = {
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
    KafkaError._FENCED,
}
# The group has moved on since the proof was taken; whether with our partitions, the reader knows.
_STALE: Final = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.REBALANCE_IN_PROGRESS,
}
_QUEUE_WAIT_S: Final = 0.1

Row = tuple[str, int, bytes, bytes, Headers | None]
"""Topic, partition, key, value, headers."""


class KafkaEffectSink:
    """Used from one thread; `membership` is KafkaLogReader.membership of the same shard.

    A claim's owner epoch is the number of the partition's assignment to this reader.
    """

    name = "kafka"

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        slot: str,
        transaction_timeout_ms: int,
        stale_after_s: float,
        membership: Callable[[], Membership],
    ) -> None:
        """stale_after_s: alerts whose event time is older when they are written are stale."""
        self._settings = settings
        self._transactional_id = settings.topic(f"{SLOT}{slot}")
        """Stable per slot, so that a successor's init ends what a crash left open."""
        self._membership = membership
        self._stale_after_s = stale_after_s
        self._timeout_s = REQUEST_TIMEOUT_S
        self._transaction_timeout_s = transaction_timeout_ms / 1000
        """The broker ends one that takes longer, so no step of one is waited for longer."""
        self._claims: dict[int, Claim] = {}
        self._unclear: dict[int, Advance] = {}
        """Of a transaction whose commit was not answered: it is committed, or will be aborted."""
        self._producer: Producer | None = None
        self._config = {
            **producer_config(settings, client_id=self._transactional_id),
            "transactional.id": self._transactional_id,
            "transaction.timeout.ms": transaction_timeout_ms,
            # librdkafka takes no longer one with a transaction's timeout.
            "socket.timeout.ms": min(ANSWER_TIMEOUT_MS, transaction_timeout_ms),
            "message.max.bytes": REJECTED_BYTES_MAX,
            "linger.ms": 5,
        }
        self._offsets = StableOffsets(
            settings, transactional_id=self._transactional_id, producer_config=self._config
        )

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """The committed offsets; what a former owner left open is ended for it."""
        membership = self._membership()
        lost = tuple(each for each in partitions if each not in membership.assignments)
        if lost:
            raise Fenced(f"sink kafka: partitions {lost} are not this member's", partitions=lost)
        self._ready()
        committed = self._offsets.read(partitions, self._timeout_s)
        claims = {
            each: Claim(membership.assignments[each], committed.get(each)) for each in partitions
        }
        self._claims |= claims
        self._unclear = {p: step for p, step in self._unclear.items() if p not in claims}
        return claims

    def write(self, effects: Effects, advance: Mapping[int, Advance]) -> None:
        """One transaction, also without rows; none if its commit, unanswered, turns out done."""
        # First the proof, then the check: see KafkaLogReader.membership.
        membership = self._membership()
        self._check(advance, membership)
        producer = self._ready()
        if self._unclear:
            if self._settled(advance):
                return
            self._check(advance, membership)
        try:
            producer.begin_transaction()
            for row in self._rows(effects):
                self._produce(producer, *row)
            offsets = [self._position(each, step.next_offset) for each, step in advance.items()]
            self._bounded(
                lambda timeout_s: producer.send_offsets_to_transaction(
                    offsets, membership.metadata, timeout_s
                ),
                self._transaction_timeout_s,
            )
        except KafkaException as error:
            raise self._ended(producer, error, advance) from error
        self._commit(producer, advance)
        for each, step in advance.items():
            self._claims[each] = Claim(step.owner_epoch, step.next_offset)

    def close(self) -> None:
        """Drop the producer; what it left open is aborted by the next one of this slot."""
        self._drop()
        self._offsets.close()

    def _settled(self, advance: Mapping[int, Advance]) -> bool:
        """Learn what became of an unanswered commit; whether `advance` is what it wrote.

        The producer is a new one, so nothing is pending; offsets that are neither from before the
        transaction nor from behind it are another owner's.
        """
        committed = self._offsets.read(list(self._unclear), self._timeout_s)
        unclear, self._unclear = self._unclear, {}
        for each, step in unclear.items():
            held, found = self._claims.pop(each, None), committed.get(each)
            if held is None or held.next_offset == step.next_offset:
                continue
            if found in (held.next_offset, step.next_offset):
                self._claims[each] = Claim(step.owner_epoch, found)
        return unclear == dict(advance) and all(
            self._claims.get(each) == Claim(step.owner_epoch, step.next_offset)
            for each, step in advance.items()
        )

    def _check(self, advance: Mapping[int, Advance], membership: Membership) -> None:
        refused = tuple(
            each
            for each, step in advance.items()
            if (held := self._claims.get(each)) is None
            or not held.owner_epoch == step.owner_epoch == membership.assignments.get(each)
            or held.next_offset not in (None, step.previous_offset)
        )
        if refused:
            raise Fenced(
                f"sink kafka: partitions {refused} have another owner or offset",
                partitions=refused,
            )

    def _rows(self, effects: Effects) -> Iterator[Row]:
        topic = self._settings.topic
        for scores in effects.scores:
            partitions = scores.partitions.tolist()
            rows = zip(partitions, scores.devices, encode_scores(scores), strict=True)
            yield from ((topic("scores"), *row, None) for row in rows)
        for rollups in effects.rollups:
            if name := _ROLLUP_TOPICS.get(rollups.resolution):
                partitions = rollups.partitions.tolist()
                rows = zip(partitions, rollups.devices, encode_rollups(rollups), strict=True)
                yield from ((topic(name), *row, None) for row in rows)
        for alert in effects.alerts:
            key = DeviceKey(alert.tenant, alert.device_id).encode()
            headers = headers_of(alert, self._stale_after_s)
            yield topic("alerts"), alert.partition, key, encode_alert(alert), headers
        for presence in effects.presences:
            key = DeviceKey(presence.tenant, presence.device_id).encode()
            yield topic("events"), presence.partition, key, encode_presence(presence), None
        for session in effects.sessions:
            key = DeviceKey(session.tenant, session.device_id).encode()
            yield topic("events"), session.partition, key, encode_session(session), None
        for name, rejections in (
            ("telemetry.dead", effects.dead),
            ("telemetry.late", effects.late),
        ):
            for each in rejections:
                yield topic(name), each.partition, each.key, encode_rejected(each), None
        for gone in effects.forgotten:
            key = DeviceKey(gone.tenant, gone.device_id).encode()
            yield topic("tombstones"), gone.partition, key, encode_tombstone(gone), None

    def _produce(
        self,
        producer: Producer,
        topic: str,
        partition: int,
        key: bytes,
        value: bytes,
        headers: Headers | None,
    ) -> None:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                producer.produce(topic, value, key, partition, headers=headers)
            except BufferError:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._QUEUE_FULL)) from None
                producer.poll(_QUEUE_WAIT_S)
            else:
                return

    def _commit(self, producer: Producer, advance: Mapping[int, Advance]) -> None:
        deadline = time.monotonic() + self._transaction_timeout_s
        while True:
            try:
                timeout_s = max(deadline - time.monotonic(), 0.1)
                self._bounded(producer.commit_transaction, timeout_s)
            except KafkaException as error:
                cause = error.args[0]
                if cause.txn_requires_abort():
                    raise self._ended(producer, error, advance) from error
                if not cause.retriable() or time.monotonic() > deadline:
                    self._drop()
                    self._unclear |= advance
                    raise self._refusal(error, advance) from error
            else:
                return

    def _ended(
        self, producer: Producer, error: KafkaException, advance: Mapping[int, Advance]
    ) -> FleetpulseError:
        """What to say of a transaction that cannot be committed; nothing of it is left open.

        After a broker's death send_offsets_to_transaction may wait for ever, most of all while the
        epoch of a producer that goes on is raised. So it goes; the next one's init aborts what it
        began.
        """
        refusal = self._refusal(error, advance)
        if isinstance(refusal, BrokerUnavailable):
            self._drop()
            return refusal
        try:
            self._bounded(producer.abort_transaction, self._transaction_timeout_s)
        except KafkaException:
            self._drop()
        return refusal

    def _refusal(self, error: KafkaException, advance: Mapping[int, Advance]) -> FleetpulseError:
        code = error.args[0].code()
        partitions = tuple(advance)
        if code in _FENCED:
            for each in partitions:
                self._claims.pop(each, None)
            return Fenced(f"sink kafka: {error.args[0].str()}", partitions=partitions)
        if code in _STALE:
            return ProofOutdated(f"sink kafka: {error.args[0].str()}", retry_after_s=0.05)
        return meaning_of(error, "write a transaction")

    def _ready(self) -> Producer:
        if self._producer is None:
            producer = Producer(self._config)
            self._begin(producer)
            self._producer = producer
        return self._producer

    def _begin(self, producer: Producer) -> None:
        try:
            self._bounded(producer.init_transactions, self._timeout_s)
        except KafkaException as error:
            raise meaning_of(error, "begin with a transactional id") from error

    def _bounded(self, call: Callable[[float], object], timeout_s: float) -> None:
        try:
            bounded(call, timeout_s)
        except Forgotten:
            self._producer = None  # not even purged: the call is still in it
            raise

    def _drop(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer = None

    def _position(self, partition: int, offset: int) -> TopicPartition:
        """With the note that StableOffsets looks for."""
        topic = self._settings.topic("telemetry")
        return TopicPartition(topic, partition, offset, self._transactional_id)
