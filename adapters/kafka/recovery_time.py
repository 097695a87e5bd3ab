"""How long a killed shard's work stands still: the broker's settings decide it."""

from dataclasses import dataclass
from typing import Final

from confluent_kafka.admin._config import ConfigResource

from adapters.kafka.admin_connection import AdminConnection
from adapters.kafka.client import REQUEST_TIMEOUT_S
from fleetpulse.settings import KafkaSettings

TARGET_S: Final = 10.0
"""What Fleetpulse promises when the broker lets it."""
_SESSION: Final = "group.consumer.session.timeout.ms"
_HEARTBEAT: Final = "group.consumer.heartbeat.interval.ms"
_CLEANUP: Final = "transaction.abort.timed.out.transaction.cleanup.interval.ms"


@dataclass(frozen=True, slots=True)
class RecoveryTime:
    """The slowest broker's settings, in seconds."""

    session_timeout_s: float
    heartbeat_interval_s: float
    transaction_cleanup_s: float

    @property
    def takeover_s(self) -> float:
        """From the kill of a shard to its partitions' arrival at another, at most."""
        return self.session_timeout_s + self.heartbeat_interval_s

    def readers_wait_s(self, transaction_timeout_ms: int) -> float:
        """How long a killed shard's open transaction holds up `read_committed` readers at most.

        With a successor it is less: see StableOffsets.
        """
        return transaction_timeout_ms / 1000 + self.transaction_cleanup_s

    def remedy(self, replay_budget_s: float) -> str | None:
        """What to change on the brokers; None when recovery is quick enough."""
        if self.takeover_s + replay_budget_s <= TARGET_S:
            return None
        return (
            f"set {_SESSION} and group.consumer.min.session.timeout.ms to 3000, {_HEARTBEAT}"
            " and group.consumer.min.heartbeat.interval.ms to 500 on the brokers"
        )


def recovery_time(settings: KafkaSettings) -> RecoveryTime:
    """Ask all brokers; raises BrokerUnavailable, or ConfigError without the right to ask."""
    connection = AdminConnection(
        settings, client_id=f"{settings.topic_prefix}recovery", timeout_s=REQUEST_TIMEOUT_S
    )
    cluster = connection.answer(
        connection.client.describe_cluster(request_timeout=REQUEST_TIMEOUT_S), "list brokers"
    )
    configs = [
        connection.answer(answer, "ask the brokers' settings")
        for broker in cluster.nodes
        # Each broker knows its own, and the client takes one broker per call.
        for answer in connection.client.describe_configs(
            [ConfigResource(ConfigResource.Type.BROKER, broker.id_string)],
            request_timeout=REQUEST_TIMEOUT_S,
        ).values()
    ]

    def slowest(name: str) -> float:
        return max(float(config[name].value) for config in configs) / 1000

    return RecoveryTime(slowest(_SESSION), slowest(_HEARTBEAT), slowest(_CLEANUP))
