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
_UNSTABLE_WAIT_S: Final = 0.02


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
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = self._read(partitions, max(deadline_s - time.monotonic(), _UNSTABLE_WAIT_S))
            failed = next((each.error for each in found if each.error), None)
            if failed is None:
                return {each.partition: each.offset for each in found if each.offset >= 0}
            unstable = failed.code() == KafkaError.UNSTABLE_OFFSET_COMMIT
            if not unstable or time.monotonic() > deadline_s:
                raise meaning_of(failed, _ACTION)
            time.sleep(_UNSTABLE_WAIT_S)

    def _read(self, partitions: Sequence[int], timeout_s: float) -> list[TopicPartition]:
        places = [TopicPartition(self._topic, partition) for partition in partitions]
        try:
            found: list[TopicPartition] = self._consumer.committed(places, timeout_s)
        except KafkaException as error:
            raise meaning_of(error, _ACTION) from error
        return found

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
