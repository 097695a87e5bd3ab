"""Topics: made as the design needs them, checked when they exist."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._topic import TopicDescription
from confluent_kafka.cimpl import NewTopic

from adapters.kafka.admin_connection import AdminConnection
from adapters.kafka.client import RECORD_BYTES_MAX, REJECTED_BYTES_MAX, REQUEST_TIMEOUT_S
from fleetpulse.errors import BrokerUnavailable, ConfigError
from fleetpulse.settings import KafkaSettings

REJECTED_TOPICS: Final = ("telemetry.dead", "telemetry.late")
RESULT_TOPICS: Final = ("scores", "alerts", "events", "aggregates.second", "aggregates.minute")
_SERVED_WAIT_S: Final = 0.05
_AS_THE_BROKER_SAYS: Final = -1
_MOVED: Final = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
}


class KafkaAdmin:
    """Asks and changes the cluster; every call is bounded."""

    def __init__(self, settings: KafkaSettings, *, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._connection = AdminConnection(
            settings, client_id=f"{settings.topic_prefix}admin", timeout_s=timeout_s
        )
        self._client = self._connection.client

    def create_topics(self) -> list[str]:
        """Create what is missing, check what exists; returns the names created.

        Raises ConfigError when an existing topic has other partitions or its own timestamps.
        """
        wanted = {topic.topic: topic for topic in self._topics()}
        existing = self._existing(wanted)
        for name, topic in existing.items():
            if len(topic.partitions) != wanted[name].num_partitions:
                found = len(topic.partitions)
                raise ConfigError(
                    f"kafka.partitions: topic {name} has {found}, not"
                    f" {wanted[name].num_partitions}; the number is fixed when a topic is created:"
                    f" set FLEETPULSE_KAFKA__PARTITIONS={found}"
                )
        self._check_log_time(existing)
        missing = [topic for name, topic in wanted.items() if name not in existing]
        created = []
        for name, future in (self._client.create_topics(missing) if missing else {}).items():
            if self._connection.answer(
                future, f"create topic {name}", ignore=KafkaError.TOPIC_ALREADY_EXISTS
            ):
                created.append(name)
        if created:
            self._wait_until_served(wanted)
        return sorted(created)

    def topic_id(self, topic: str = "telemetry") -> str:
        """Of one of our topics. A topic made anew has another."""
        name = self._settings.topic(topic)
        found = self._existing([name])
        if name not in found:
            raise ConfigError(f"kafka: topic {name} does not exist; create it first")
        return str(found[name].topic_id)

    def watermarks(self) -> dict[int, tuple[int, int]]:
        """First offset and end offset of each telemetry partition."""
        topic = self._settings.topic("telemetry")
        positions = [TopicPartition(topic, each) for each in range(self._settings.partitions)]
        first = self._offsets(OffsetSpec.earliest(), positions)  # type: ignore[no-untyped-call]
        end = self._offsets(OffsetSpec.latest(), positions)  # type: ignore[no-untyped-call]
        return {each.partition: (first[each], end[each]) for each in positions}

    def _wait_until_served(self, topics: Mapping[str, NewTopic]) -> None:
        """A created topic is described, and has leaders, a moment later."""
        positions = [
            TopicPartition(name, each)
            for name, topic in topics.items()
            for each in range(topic.num_partitions)
        ]
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                if len(self._existing(topics)) == len(topics):
                    self._offsets(OffsetSpec.latest(), positions)  # type: ignore[no-untyped-call]
                    return
            except BrokerUnavailable:
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise BrokerUnavailable("kafka: created topics are not served")
            time.sleep(_SERVED_WAIT_S)

    def _offsets(
        self, spec: OffsetSpec, positions: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        deadline = time.monotonic() + self._timeout_s
        while True:
            futures = self._client.list_offsets(
                dict.fromkeys(positions, spec), request_timeout=self._timeout_s
            )
            try:
                return {
                    each: self._connection.answer(future, "list offsets").offset
                    for each, future in futures.items()
                }
            except BrokerUnavailable as error:
                if not _moved(error) or time.monotonic() > deadline:
                    raise
            # The client keeps the leaders it knew, and would be refused for ever.
            with suppress(KafkaException):
                self._client.list_topics(positions[0].topic, timeout=self._timeout_s)
            time.sleep(_SERVED_WAIT_S)

    def _topics(self) -> list[NewTopic]:
        settings = self._settings
        replicas = _AS_THE_BROKER_SAYS if settings.replication is None else settings.replication
        retention = {"retention.ms": str(round(settings.retention_h * 3_600_000))}
        rejected = retention | {"max.message.bytes": str(REJECTED_BYTES_MAX)}
        telemetry = retention | {
            # Log time is the broker's: devices and their clocks cannot move it.
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(RECORD_BYTES_MAX),
        }
        configs = {
            "telemetry": telemetry,
            **dict.fromkeys(REJECTED_TOPICS, rejected),
            **dict.fromkeys(RESULT_TOPICS, retention),
            # The lake may read them at any time; there are few.
            "tombstones": {"retention.ms": "-1"},
        }
        return [
            *(
                NewTopic(settings.topic(name), settings.partitions, replicas, config=each)
                for name, each in configs.items()
            ),
            # One order, kept for ever: there are few.
            NewTopic(settings.topic("controls"), 1, replicas, config={"retention.ms": "-1"}),
        ]

    def _existing(self, names: Iterable[str]) -> dict[str, TopicDescription]:
        futures = self._client.describe_topics(
            TopicCollection(list(names)), request_timeout=self._timeout_s
        )
        answers = {
            name: self._connection.answer(
                future, f"describe topic {name}", ignore=KafkaError.UNKNOWN_TOPIC_OR_PART
            )
            for name, future in futures.items()
        }
        return {name: topic for name, topic in answers.items() if topic is not None}

    def _check_log_time(self, existing: dict[str, TopicDescription]) -> None:
        name = self._settings.topic("telemetry")
        if name not in existing:
            return
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        config = self._connection.answer(
            self._client.describe_configs([resource])[resource],
            f"describe topic {name}",
            ignore=KafkaError.TOPIC_AUTHORIZATION_FAILED,
        )
        if config and config["message.timestamp.type"].value != "LogAppendTime":
            raise ConfigError(f"kafka: topic {name} needs message.timestamp.type=LogAppendTime")


def _moved(error: BrokerUnavailable) -> bool:
    """Whether another broker leads the partition since the client looked."""
    cause = error.__cause__
    return isinstance(cause, KafkaException) and cause.args[0].code() in _MOVED
