"""Whole topics, read with a bare consumer."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Place

from adapters.kafka.client import consumer_config
from benchmarks.offline.records import Record
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.settings import KafkaSettings

_BATCH = 10_000
_PATIENCE_S = 30.0


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
    settings: KafkaSettings, topic: str, take: Callable[[Message], None]
) -> Mapping[int, int]:
    """Hand every committed record to `take`; returns each partition's end offset."""
    places = [
        Place(settings.topic(topic), partition, OFFSET_BEGINNING)
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
            partition: reader.get_watermark_offsets(Place(name, partition), timeout=10.0)[1]
            for partition in range(settings.partitions)
        }


def read_log(settings: KafkaSettings) -> tuple[dict[int, list[Record]], Mapping[int, int]]:
    """The telemetry topic by partition, and the end offset of each."""
    log: dict[int, list[Record]] = {partition: [] for partition in range(settings.partitions)}

    def take(message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        time_us = message.timestamp()[1] * 1000
        log[partition].append(Record(offset, time_us, message.key() or b"", message.value() or b""))

    ends = read_to_end(settings, "telemetry", take)
    return log, ends


def _ends(message: Message) -> bool:
    """Whether this is the mark of a partition's end; raises KafkaException on a real error."""
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # it has no other name
        return True
    raise KafkaException(error)
