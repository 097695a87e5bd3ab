"""Records in `telemetry.dead`: what waits there, and sending it the way of telemetry once more.

What was sent again is remembered in the topic itself, by markers that name offsets: retention
forgets both together, and a second retry, also of a part, repeats nothing.
"""

import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import REQUEST_TIMEOUT_S, SCHEMA_VERSION, consumer_config, meaning_of
from adapters.kafka.decode import decode_rejected
from adapters.kafka.durable import BY_KEY, DurableRecord, DurableWriter
from fleetpulse.effects import Rejection
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.settings import KafkaSettings

RETRY_TIMEOUT_S: Final = 30.0
_BATCH: Final = 500
_STALL_S: Final = 30.0
_MARK: Final = "retried"
_OFFSET: Final = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected record and its place in `telemetry.dead`."""

    partition: int
    offset: int
    written_at_us: int
    rejection: Rejection


class DeadLetters:
    """Reads and retries. Two retries at the same time may send a record twice."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topic = settings.topic("telemetry.dead")

    def pending(self, wanted: Callable[[Rejection], bool] = lambda _: True) -> Iterator[DeadLetter]:
        """Wanted letters that were not retried, in log order per partition."""
        KafkaAdmin(self._settings).topic_id()  # raises what is wrong with the connection
        # Markers stand behind what they mark: one pass for them, one for the letters.
        retried = {
            (message.partition(), offset)
            for message in self._messages()
            for offset in _marked(message)
        }
        for message in self._messages():
            partition, offset = message.partition() or 0, message.offset() or 0
            if (partition, offset) in retried or message.headers():
                continue
            rejection = decode_rejected(message.value() or b"")
            if wanted(rejection):
                yield DeadLetter(partition, offset, message.timestamp()[1] * 1000, rejection)

    def retry(self, letters: Iterable[DeadLetter]) -> int:
        """Send their records to telemetry again, durably; returns how many.

        They take their place behind what is there now: event time behind the device's watermark
        makes a record late, and the same cause makes it dead again, as a new letter.
        """
        writer = DurableWriter(self._settings, client_id="dead-letters")
        count, rest = 0, iter(letters)
        while batch := list(islice(rest, _BATCH)):
            writer.write([self._again(each) for each in batch], timeout_s=RETRY_TIMEOUT_S)
            writer.write(self._marks(batch), timeout_s=RETRY_TIMEOUT_S)
            count += len(batch)
        return count

    def _again(self, letter: DeadLetter) -> DurableRecord:
        key = letter.rejection.key
        _, is_device, device = key.partition(b"/")
        return DurableRecord(
            self._settings.topic("telemetry"),
            key,
            letter.rejection.value,
            # A device's record goes where its key says, others (controls) where they were.
            BY_KEY if is_device else letter.rejection.partition,
            [
                ("device-id", device),
                ("schema-version", SCHEMA_VERSION),
                ("ingest-node-id", b"dead-letters"),
            ],
        )

    def _marks(self, batch: list[DeadLetter]) -> list[DurableRecord]:
        offsets: dict[int, list[int]] = {}
        for each in batch:
            offsets.setdefault(each.partition, []).append(each.offset)
        return [
            DurableRecord(
                self._topic, None, b"", partition, [(_MARK, b"".join(map(_OFFSET.pack, marked)))]
            )
            for partition, marked in offsets.items()
        ]

    def _messages(self) -> Iterator[Message]:
        """All that is in the topic now."""
        config = consumer_config(self._settings, client_id="dead-letters", group="dead-letters")
        consumer = Consumer(config | {"enable.partition.eof": True})
        try:
            open_partitions = set(self._assign(consumer))
            deadline = time.monotonic() + _STALL_S
            while open_partitions:
                for message in consumer.consume(1000, 0.1):
                    deadline = time.monotonic() + _STALL_S
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        open_partitions.discard(message.partition() or 0)
                    else:
                        raise meaning_of(error, "read dead letters")
                if time.monotonic() > deadline:
                    raise BrokerUnavailable("kafka: reading dead letters stalls")
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> list[int]:
        try:
            starts = [
                TopicPartition(
                    self._topic,
                    partition,
                    consumer.get_watermark_offsets(
                        TopicPartition(self._topic, partition), timeout=REQUEST_TIMEOUT_S
                    )[0],
                )
                for partition in range(self._settings.partitions)
            ]
        except KafkaException as error:
            raise meaning_of(error, "read dead letters") from error
        consumer.assign(starts)
        return [each.partition for each in starts]


def _marked(message: Message) -> list[int]:
    headers = dict(message.headers() or [])
    marks = headers.get(_MARK)
    return [offset for (offset,) in _OFFSET.iter_unpack(marks)] if isinstance(marks, bytes) else []
