"""How far the shards are in the log: the group's committed offsets, which the Kafka sink moves."""

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import connection_config, meaning_of
from fleetpulse.settings import KafkaSettings

_TIMEOUT_S = 10.0


class LogProgress:
    """Asks the broker; both calls raise BrokerUnavailable."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topics = KafkaAdmin(kafka)
        self._client = AdminClient(connection_config(kafka, client_id="bench-admin"))

    def ends(self) -> dict[int, int]:
        """Where each telemetry partition ends now."""
        return {partition: end for partition, (_, end) in self._topics.watermarks().items()}

    def committed(self) -> dict[int, int]:
        """Each partition's first offset that is not yet in the Kafka sink."""
        kafka = self._kafka
        places = [Place(kafka.topic("telemetry"), each) for each in range(kafka.partitions)]
        request = ConsumerGroupTopicPartitions(kafka.topic("shards"), places)
        answers = self._client.list_consumer_group_offsets([request], request_timeout=_TIMEOUT_S)
        (future,) = answers.values()
        try:
            found = future.result(_TIMEOUT_S + 1).topic_partitions
        except KafkaException as error:
            raise meaning_of(error, "list the shards' offsets") from error
        return {place.partition: max(0, place.offset) for place in found}
