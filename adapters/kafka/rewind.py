"""Sets the shards' group offsets, which are the Kafka sink's progress, while the group is empty."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, TopicPartition

from adapters.kafka.admin_connection import AdminConnection
from adapters.kafka.client import REQUEST_TIMEOUT_S, meaning_of
from adapters.kafka.committed_offsets import CommittedOffsets
from adapters.kafka.log_reader import GROUP
from fleetpulse.errors import ConfigError, RetryLater
from fleetpulse.settings import KafkaSettings

T = TypeVar("T")
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
        self._offsets = CommittedOffsets(
            settings, client_id=f"{settings.topic_prefix}rewind-offsets", group=GROUP
        )

    def check_empty(self) -> None:
        """Raises ConfigError while shards are members: the broker lets nobody else set offsets."""
        self.set(self.current())

    def current(self) -> dict[int, int]:
        """By partition; without those that have none."""
        places = range(self._settings.partitions)
        return self._patiently(lambda: self._offsets.read(places, REQUEST_TIMEOUT_S))

    def set(self, offsets: Mapping[int, int]) -> None:
        """By partition; raises ConfigError while the group has members."""
        if not offsets:
            return
        topic = self._settings.topic("telemetry")
        places = [TopicPartition(topic, *each) for each in sorted(offsets.items())]
        request = [ConsumerGroupTopicPartitions(self._group, places)]
        alter = self._connection.client.alter_consumer_group_offsets

        def ask() -> None:
            answers = alter(request, request_timeout=REQUEST_TIMEOUT_S)
            self._check(answers[self._group])

        self._patiently(ask)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """A broker that has just started loads the group first."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return ask()
            except RetryLater as error:
                if time.monotonic() + error.retry_after_s > deadline:
                    raise
                time.sleep(error.retry_after_s)

    def _check(self, future: Future[Any]) -> None:
        found = self._connection.answer(future, _ACTION).topic_partitions
        for error in (each.error for each in found if each.error is not None):
            if error.code() == KafkaError.UNKNOWN_MEMBER_ID:
                raise ConfigError("shards run: stop them first")
            raise meaning_of(error, _ACTION)
