"""Where the log ends in partitions that are held back: fetches tell of the others only."""

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from adapters.kafka.client import REQUEST_TIMEOUT_S, connection_config
from fleetpulse.settings import KafkaSettings

INTERVAL_S: Final = 1.0
RENEW_S: Final = 10.0
"""A client that gets no answer at all may know former leaders only: then another looks anew."""


class HeldEnds:
    """Asks the brokers without waiting for them. Used from one thread."""

    def __init__(self, settings: KafkaSettings, *, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._client: AdminClient | None = None
        self._asked: dict[TopicPartition, Future[Any]] = {}
        self._asked_s = -INTERVAL_S
        self._opened_s = 0.0
        self._known: dict[int, int] = {}

    def of(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Ends as of the newest answer; the next call with partitions asks when it is old."""
        self._known = {each: end for each, end in self._known.items() if each in partitions}
        if not partitions:
            self._asked = {}
            return {}
        if all(map(Future.done, self._asked.values())):
            self._take_answers()
            if time.monotonic() - self._asked_s >= INTERVAL_S:
                self._ask(partitions)
        return self._known

    def close(self) -> None:
        """Drop the client and its threads."""
        self._client, self._asked = None, {}

    def _take_answers(self) -> None:
        """Of a partition without an answer the last one holds."""
        answers = {
            position.partition: future.result().offset
            for position, future in self._asked.items()
            if future.exception() is None
        }
        if self._asked and not answers and time.monotonic() - self._opened_s > RENEW_S:
            self._client = None
        self._known |= answers
        self._asked = {}

    def _ask(self, partitions: Collection[int]) -> None:
        if self._client is None:
            self._opened_s = time.monotonic()
            self._client = AdminClient(
                connection_config(self._settings, client_id=self._client_id) | {"log_level": 2}
            )
        topic = self._settings.topic("telemetry")
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        self._asked_s = time.monotonic()
        self._asked = self._client.list_offsets(
            {TopicPartition(topic, each): latest for each in partitions},
            request_timeout=REQUEST_TIMEOUT_S,
        )
