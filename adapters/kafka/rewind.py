"""Sets the shards' group offsets, which are the Kafka sink's progress, while the group is empty."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, TopicPartition

from adapters.kafka.admin_connection import AdminConnection
from adapters.kafka.client import REQUEST_TIMEOUT_S, meaning_of
from adapters.kafka.log_reader import GROUP
from fleetpulse.errors import ConfigError, RetryLater
from fleetpulse.settings import KafkaSettings

PATIENCE_S: Final = 20.0
_ACTION: Final = "the shards' offsets"


class GroupOffsets:
    """Of the consumer group of a stack's shards. Every call is bounded."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._group = settings.topic(GROUP)
        self._connection = AdminConnection(
            settings, client_id=f"{settings.topic_prefix}rewind", timeout_s=REQUEST_TIMEOUT_S
        )

    def check_empty(self) -> None:
        """Raises ConfigError while shards are members: the broker lets nobody else set offsets."""
        self.set(self.current())

    def current(self) -> dict[int, int]:
        """By partition; without those that have none."""
        places = [self._place(each, None) for each in range(self._settings.partitions)]
        request = [ConsumerGroupTopicPartitions(self._group, places)]
        found = self._patiently(
            lambda: self._connection.client.list_consumer_group_offsets(
                request, require_stable=True, request_timeout=REQUEST_TIMEOUT_S
            )
        )
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def set(self, offsets: Mapping[int, int]) -> None:
        """By partition; raises ConfigError while the group has members."""
        if not offsets:
            return
        places = [self._place(each, offset) for each, offset in sorted(offsets.items())]
        request = [ConsumerGroupTopicPartitions(self._group, places)]
        self._patiently(
            lambda: self._connection.client.alter_consumer_group_offsets(
                request, request_timeout=REQUEST_TIMEOUT_S
            )
        )

    def _patiently(self, ask: Callable[[], dict[str, Future[Any]]]) -> list[TopicPartition]:
        """A broker that has just started loads the group first."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._checked(ask()[self._group])
            except RetryLater as error:
                if time.monotonic() + error.retry_after_s > deadline:
                    raise
                time.sleep(error.retry_after_s)

    def _checked(self, future: Future[Any]) -> list[TopicPartition]:
        found: list[TopicPartition] = self._connection.answer(future, _ACTION).topic_partitions
        for error in (each.error for each in found if each.error is not None):
            if error.code() == KafkaError.UNKNOWN_MEMBER_ID:
                raise ConfigError("shards run: stop them first")
            raise meaning_of(error, _ACTION)
        return found

    def _place(self, partition: int, offset: int | None) -> TopicPartition:
        topic = self._settings.topic("telemetry")
        if offset is None:
            return TopicPartition(topic, partition)
        return TopicPartition(topic, partition, offset)
