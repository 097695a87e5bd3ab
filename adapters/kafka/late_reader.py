"""Reads `telemetry.late` for whoever turns it into marks; where it is, its reader must keep."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from adapters.kafka.client import REQUEST_TIMEOUT_S, consumer_config, meaning_of
from adapters.kafka.decode import decode_rejected
from fleetpulse.effects import Rejection
from fleetpulse.settings import KafkaSettings

RECORDS_MAX: Final = 1000
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LateRecords:
    """Some late records. next_offsets: of the topic, by partition, after them."""

    records: list[Rejection] = field(default_factory=list)
    next_offsets: dict[int, int] = field(default_factory=dict)


class LateReader:
    """Only committed records. Used from one thread."""

    def __init__(self, settings: KafkaSettings, offsets: Mapping[int, int | None]) -> None:
        """offsets: where each partition's reading begins; None: at its first record."""
        topic = settings.topic("telemetry.late")
        config = consumer_config(settings, client_id="recompute", group=settings.topic("recompute"))
        self._consumer = Consumer(config)
        try:
            self._consumer.assign(
                [self._start(TopicPartition(topic, each, at or 0)) for each, at in offsets.items()]
            )
        except KafkaException as error:
            self._consumer.close()
            raise meaning_of(error, "read late records") from error

    def read(self, timeout_s: float) -> LateRecords:
        """What is new; nothing after `timeout_s`."""
        found = LateRecords()
        for message in self._consumer.consume(RECORDS_MAX, timeout_s):
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF and not error.retriable():
                    raise meaning_of(error, "read late records")
                continue
            found.records.append(decode_rejected(message.value() or b""))
            found.next_offsets[message.partition() or 0] = (message.offset() or 0) + 1
        return found

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def _start(self, position: TopicPartition) -> TopicPartition:
        first, end = self._consumer.get_watermark_offsets(position, timeout=REQUEST_TIMEOUT_S)
        if not first <= position.offset <= end:
            logger.warning(
                "late records before offset %d of %s [%d] are gone unread: what they changed stays"
                " uncorrected; reprocess the devices and times in question",
                first,
                position.topic,
                position.partition,
            )
            position.offset = first
        return position
