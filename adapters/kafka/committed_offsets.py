"""The committed offsets of a group, read by a consumer that is no member of it.

Not by an AdminClient: its answer is handled by code that takes for granted that there is a group,
which only a consumer has. When the group's coordinator had just moved, the process crashed
(librdkafka 2.x: rd_kafka_handle_OffsetFetch, rd_kafka_cgrp_op).
"""

import time
from collections.abc import Sequence
from typing import Final, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from adapters.kafka.client import consumer_config, meaning_of
from fleetpulse.settings import KafkaSettings

Isolation = Literal["read_committed", "read_uncommitted"]
_ACTION: Final = "read committed offsets"
_WAIT_S: Final = 0.02
_PASSING: Final = {
    # Of a transaction that is about to end.
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    # The coordinator has moved; the library looks for it after it has said so.
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError._WAIT_COORD,
}


class CommittedOffsets:
    """Of the telemetry topic's partitions. Every call is bounded."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        client_id: str,
        group: str,
        isolation: Isolation = "read_committed",
    ) -> None:
        """isolation: read_committed waits for transactions that carry offsets to end."""
        config = consumer_config(settings, client_id=client_id, group=settings.topic(group))
        self._topic = settings.topic("telemetry")
        self._consumer = Consumer({**config, "isolation.level": isolation})

    def read(self, partitions: Sequence[int], timeout_s: float) -> dict[int, int]:
        """By partition, without those that have none; raises BrokerUnavailable."""
        found = self._committed(partitions, timeout_s)
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def notes(self, partitions: Sequence[int], timeout_s: float) -> dict[int, str]:
        """What was committed beside the offsets; raises BrokerUnavailable."""
        found = self._committed(partitions, timeout_s)
        return {each.partition: each.metadata for each in found if each.metadata}

    def _committed(self, partitions: Sequence[int], timeout_s: float) -> list[TopicPartition]:
        deadline_s = time.monotonic() + timeout_s
        while True:
            answer = self._ask(partitions, max(deadline_s - time.monotonic(), _WAIT_S))
            if not isinstance(answer, KafkaError):
                return answer
            if answer.code() not in _PASSING or time.monotonic() > deadline_s:
                raise meaning_of(answer, _ACTION)
            time.sleep(_WAIT_S)

    def _ask(
        self, partitions: Sequence[int], timeout_s: float
    ) -> list[TopicPartition] | KafkaError:
        places = [TopicPartition(self._topic, partition) for partition in partitions]
        try:
            found = self._consumer.committed(places, timeout_s)
        except KafkaException as error:
            failed: KafkaError = error.args[0]
            return failed
        errors = [each.error for each in found if each.error]
        return errors[0] if errors else found

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
