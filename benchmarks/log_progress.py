"""How far the shards are in the log: the group's committed offsets, which the Kafka sink moves."""

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.committed_offsets import CommittedOffsets
from adapters.kafka.log_reader import GROUP
from fleetpulse.settings import KafkaSettings

_TIMEOUT_S = 10.0


class LogProgress:
    """Asks the broker; both calls raise BrokerUnavailable."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._partitions = kafka.partitions
        self._topics = KafkaAdmin(kafka)
        self._offsets = CommittedOffsets(
            kafka, client_id="bench-progress", group=GROUP, isolation="read_uncommitted"
        )

    def ends(self) -> dict[int, int]:
        """Where each telemetry partition ends now."""
        return {partition: end for partition, (_, end) in self._topics.watermarks().items()}

    def committed(self) -> dict[int, int]:
        """Each partition's first offset that is not yet in the Kafka sink."""
        found = self._offsets.read(range(self._partitions), _TIMEOUT_S)
        return {partition: found.get(partition, 0) for partition in range(self._partitions)}
