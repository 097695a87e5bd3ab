"""A topic's end is asked for again while a partition gets another leader."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from benchmarks.topics import _end_offset


class Reader:
    """Of a partition whose leader was killed."""

    def __init__(self, *errors: int) -> None:
        self._errors = list(errors)

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        if self._errors:
            raise KafkaException(KafkaError(self._errors.pop(0)))
        return 3, 7

    def list_topics(self, topic: str, timeout: float) -> None:
        pass


def test_a_partition_that_moves_is_asked_again() -> None:
    reader = Reader(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    assert _end_offset(reader, TopicPartition("telemetry", 0)) == 7  # type: ignore[arg-type]


def test_another_error_is_told() -> None:
    reader = Reader(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        _end_offset(reader, TopicPartition("telemetry", 0))  # type: ignore[arg-type]
