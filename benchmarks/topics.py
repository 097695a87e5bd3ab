"""Whole topics, read with a bare consumer."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Place

from adapters.kafka.client import consumer_config
from benchmarks.offline.records import Record
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.settings import KafkaSettings

_BATCH = 10_000
_RESERVED = (b"!tick", b"!control")
_PATIENCE_S = 30.0
_MOVING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a log: records of keys with a prefix, from offsets on. By default all of it.

    begin: topic -> partition -> first offset. Control records and ticks belong to every span.
    """

    prefix: bytes = b""
    begin: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @classmethod
    def from_now(cls, settings: KafkaSettings, topics: Iterable[str], prefix: bytes) -> Self:
        """What is written from now on."""
        return cls(prefix, {topic: end_offsets(settings, topic) for topic in topics})

    def has(self, key: bytes) -> bool:
        """Whether records of this key belong to it."""
        return key.startswith(self.prefix) or key in _RESERVED


EVERYTHING = Span()


@contextmanager
def consumer(settings: KafkaSettings, **options: object) -> Iterator[Consumer]:
    """A consumer that sees committed records only and says where a partition ends."""
    config = consumer_config(settings, client_id="bench", group=settings.topic("bench"))
    config |= {"isolation.level": "read_committed", "enable.partition.eof": True}
    open_consumer = Consumer({**config, **options})
    try:
        yield open_consumer
    finally:
        open_consumer.close()


def read_to_end(
    settings: KafkaSettings, topic: str, take: Callable[[Message], None], span: Span = EVERYTHING
) -> Mapping[int, int]:
    """Hand every committed record of the span to `take`; returns each partition's end offset."""
    begin = span.begin.get(topic, {})
    places = [
        Place(settings.topic(topic), partition, begin.get(partition, OFFSET_BEGINNING))
        for partition in range(settings.partitions)
    ]
    ends: dict[int, int] = {}
    with consumer(settings) as reader:
        reader.assign(places)
        while len(ends) < len(places):
            # consume alone would wait until the batch is full
            first = reader.poll(_PATIENCE_S)
            if first is None:
                raise BrokerUnavailable(f"kafka: topic {topic} gave nothing for {_PATIENCE_S:g} s")
            for message in (first, *reader.consume(_BATCH, 0)):
                partition, offset = message.partition(), message.offset()
                assert partition is not None
                assert offset is not None
                if partition in ends:
                    continue
                if not _ends(message):
                    if span.has(message.key() or b""):
                        take(message)
                    continue
                ends[partition] = offset
                reader.pause([Place(settings.topic(topic), partition)])
    return ends


def end_offsets(settings: KafkaSettings, topic: str) -> dict[int, int]:
    """Where each partition of a topic ends now, transaction markers included."""
    name = settings.topic(topic)
    with consumer(settings) as reader:
        return {
            partition: _end_offset(reader, Place(name, partition))
            for partition in range(settings.partitions)
        }


def _end_offset(reader: Consumer, place: Place) -> int:
    """Asks on while the partition gets another leader: a broker may just have been killed."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return reader.get_watermark_offsets(place, timeout=10.0)[1]
        except KafkaException as error:
            if error.args[0].code() not in _MOVING or time.monotonic() > deadline_s:
                raise
        time.sleep(0.1)
        reader.list_topics(place.topic, timeout=10.0)  # or it asks the former leader again


def read_log(
    settings: KafkaSettings, span: Span = EVERYTHING
) -> tuple[dict[int, list[Record]], Mapping[int, int]]:
    """The telemetry topic by partition, and the end offset of each."""
    log: dict[int, list[Record]] = {partition: [] for partition in range(settings.partitions)}

    def take(message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        time_us = message.timestamp()[1] * 1000
        log[partition].append(Record(offset, time_us, message.key() or b"", message.value() or b""))

    ends = read_to_end(settings, "telemetry", take, span)
    return log, ends


def _ends(message: Message) -> bool:
    """Whether this is the mark of a partition's end; raises KafkaException on a real error."""
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # it has no other name
        return True
    raise KafkaException(error)
