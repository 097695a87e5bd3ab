"""What passes by itself, where a group's committed offsets are asked for, is waited for."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from adapters.kafka.committed_offsets import CommittedOffsets
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.settings import KafkaSettings


class Coordinator:
    """Answers with these errors first."""

    def __init__(self, *errors: int) -> None:
        self._errors = list(errors)

    def committed(self, places: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        assert timeout_s > 0
        if self._errors:
            raise KafkaException(KafkaError(self._errors.pop(0)))
        return [TopicPartition(each.topic, each.partition, 7 - each.partition) for each in places]


@pytest.fixture
def offsets() -> CommittedOffsets:
    return CommittedOffsets(KafkaSettings(port=1024), client_id="test", group="shards")


@pytest.mark.parametrize(
    "error",
    [
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    ],
    ids=["it has moved", "it loads", "a transaction ends"],
)
def test_the_coordinator_s_moving_costs_a_moment(
    offsets: CommittedOffsets, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(offsets, "_consumer", Coordinator(error, error))
    assert offsets.read([0, 7], 5.0) == {0: 7, 7: 0}


def test_one_that_does_not_come_is_an_absent_broker(
    offsets: CommittedOffsets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offsets, "_consumer", Coordinator(*[KafkaError.NOT_COORDINATOR] * 100))
    with pytest.raises(BrokerUnavailable, match="read committed offsets"):
        offsets.read([0], 0.1)
