"""Parts of single telemetry partitions, read once more, beside the shards and without a group."""

import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from adapters.kafka.client import REQUEST_TIMEOUT_S, consumer_config, meaning_of
from adapters.kafka.log_reader import columns
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.ports import RecordBatch
from fleetpulse.settings import KafkaSettings

BATCH_RECORDS: Final = 4000
STALL_S: Final = 30.0
_WAIT_S: Final = 0.1


class RangeReader:
    """Used from one thread. Raises RetryLater when the log does not answer."""

    def __init__(self, settings: KafkaSettings, *, client_id: str) -> None:
        self._telemetry = settings.topic("telemetry")
        self._controls = settings.topic("controls")
        config = consumer_config(settings, client_id=client_id, group=settings.topic(client_id))
        self._consumer = Consumer(config | {"enable.partition.eof": True})

    def bounds(self, partition: int) -> tuple[int, int]:
        """First retained offset and the log's end."""
        return self._marks(TopicPartition(self._telemetry, partition))

    def offset_at(self, partition: int, log_time_us: int) -> int:
        """The first retained offset whose append time is not before `log_time_us`."""
        asked = TopicPartition(self._telemetry, partition, max(0, log_time_us // 1000))
        try:
            found = self._consumer.offsets_for_times([asked], timeout=REQUEST_TIMEOUT_S)[0]
        except KafkaException as error:
            raise meaning_of(error, "look up an offset") from error
        if found.error:
            raise meaning_of(found.error, "look up an offset")
        return found.offset if found.offset >= 0 else self.bounds(partition)[1]

    def time_at(self, partition: int, offset: int) -> int:
        """Append time of the first record at or after an offset; 0 if there is none."""
        for batch in self.read(partition, offset, self.bounds(partition)[1]):
            return int(batch.log_time_us[0])
        return 0

    def read(self, partition: int, begin: int, end: int) -> Iterator[RecordBatch]:
        """Records of [begin, end), in log order."""
        for messages in self._messages(TopicPartition(self._telemetry, partition, begin), end):
            yield columns(messages)

    def controls(self, until_us: int) -> list[bytes]:
        """Controls that were in every partition before `until_us`, in their order.

        Their copies are written last, so a copy of that age is enough; a control that is younger
        is met in the partition itself.
        """
        first, end = self._marks(TopicPartition(self._controls, 0))
        return [
            message.value() or b""
            for messages in self._messages(TopicPartition(self._controls, 0, first), end)
            for message in messages
            if message.timestamp()[1] * 1000 < until_us
        ]

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def _marks(self, position: TopicPartition) -> tuple[int, int]:
        try:
            marks = self._consumer.get_watermark_offsets(position, timeout=REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise meaning_of(error, "ask for offsets") from error
        if marks is None:
            raise BrokerUnavailable(f"kafka: no answer about {position.topic}")
        return marks

    def _messages(self, position: TopicPartition, end: int) -> Iterator[list[Message]]:
        """Up to the offset `end`, or to the log's end if that comes first."""
        at = position.offset
        if at >= end:
            return
        self._consumer.assign([position])
        try:
            deadline = time.monotonic() + STALL_S
            finished = False
            while not finished:
                found: list[Message] = []
                for message in self._consumer.consume(BATCH_RECORDS, _WAIT_S):
                    error = message.error()
                    if error is None:
                        at = (message.offset() or 0) + 1
                        if at <= end:
                            found.append(message)
                        finished |= at >= end
                    elif error.code() == KafkaError._PARTITION_EOF:
                        finished = True
                    else:
                        raise meaning_of(error, "read a part of the log")
                if found:
                    yield found
                    deadline = time.monotonic() + STALL_S
                elif time.monotonic() > deadline:
                    raise BrokerUnavailable(f"kafka: reading {position.topic} stalls at {at}")
            # Not when the reading is given up: by then another one may have begun.
            self._consumer.unassign()
        except KafkaException as error:
            raise meaning_of(error, "read a part of the log") from error
