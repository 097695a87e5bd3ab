"""Dead letters: listed until they were sent again, once."""

import pytest
from confluent_kafka import Consumer, TopicPartition

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import RECORD_BYTES_MAX, REJECTED_BYTES_MAX, consumer_config
from adapters.kafka.dead_letters import DeadLetters
from adapters.kafka.durable import DurableRecord, DurableWriter
from adapters.kafka.encode import encode_rejected
from fleetpulse.effects import Reason, Rejection
from fleetpulse.identity import CONTROL_KEY, partition_of
from fleetpulse.settings import KafkaSettings

PARTITIONS = 3


@pytest.fixture
def settings(kafka: KafkaSettings, request: pytest.FixtureRequest) -> KafkaSettings:
    prefix = f"{kafka.topic_prefix}{request.node.name[:40]}."
    settings = kafka.model_copy(update={"partitions": PARTITIONS, "topic_prefix": prefix})
    KafkaAdmin(settings).create_topics()
    return settings


def rejection(
    number: int, reason: Reason = Reason.UNKNOWN_CHANNEL, *, key: bytes | None = None
) -> Rejection:
    if key is None:
        key = b"default/pump-%d" % number
    partition = number % PARTITIONS
    return Rejection(partition, number, 7, key, b"value %d" % number, reason, "why")


def bury(settings: KafkaSettings, *rejections: Rejection) -> None:
    """As the sink does."""
    topic = settings.topic("telemetry.dead")
    letters = [(each.key, encode_rejected(each), each.partition) for each in rejections]
    DurableWriter(settings, client_id="test").write(
        [DurableRecord(topic, *letter) for letter in letters], timeout_s=10
    )


def revived(settings: KafkaSettings) -> dict[bytes, list[tuple[int, bytes]]]:
    """Partition and value of the records in telemetry, by key."""
    config = consumer_config(settings, client_id="check", group="check")
    consumer = Consumer(config | {"enable.partition.eof": True})
    topic = settings.topic("telemetry")
    consumer.assign([TopicPartition(topic, each, 0) for each in range(PARTITIONS)])
    found: dict[bytes, list[tuple[int, bytes]]] = {}
    ended = 0
    while ended < PARTITIONS:
        for message in consumer.consume(100, 0.1):
            if message.error():
                ended += 1
            else:
                place = (message.partition() or 0, message.value() or b"")
                found.setdefault(message.key() or b"", []).append(place)
    consumer.close()
    return found


def test_letters_are_listed_as_they_were_written(settings: KafkaSettings) -> None:
    written = [rejection(each) for each in range(6)]
    bury(settings, *written)
    letters = list(DeadLetters(settings).pending())
    assert sorted((each.rejection for each in letters), key=lambda r: r.offset) == written


def test_a_retried_letter_is_in_telemetry_once_and_no_longer_listed(
    settings: KafkaSettings,
) -> None:
    bury(settings, *(rejection(each) for each in range(6)))
    dead = DeadLetters(settings)
    assert dead.retry(dead.pending()) == 6
    assert dead.retry(dead.pending()) == 0, "a second retry repeated the first"
    assert list(DeadLetters(settings).pending()) == []
    found = revived(settings)
    for number in range(6):
        key = b"default/pump-%d" % number
        assert found[key] == [(partition_of(key, PARTITIONS), b"value %d" % number)]


def test_a_part_can_be_retried_and_the_rest_later(settings: KafkaSettings) -> None:
    bury(
        settings,
        rejection(0, Reason.NO_PROFILE),
        rejection(3, Reason.UNKNOWN_CHANNEL),
        rejection(6, Reason.NO_PROFILE),
    )
    dead = DeadLetters(settings)
    assert dead.retry(dead.pending(lambda each: each.reason is Reason.NO_PROFILE)) == 2
    assert [each.rejection.offset for each in dead.pending()] == [3], "the rest was forgotten"
    assert dead.retry(dead.pending()) == 1
    assert {key: len(values) for key, values in revived(settings).items()} == {
        b"default/pump-0": 1,
        b"default/pump-3": 1,
        b"default/pump-6": 1,
    }


def test_a_record_that_dies_again_is_a_new_letter(settings: KafkaSettings) -> None:
    bury(settings, rejection(1))
    dead = DeadLetters(settings)
    dead.retry(dead.pending())
    bury(settings, rejection(1))
    assert len(list(dead.pending())) == 1


def test_what_is_no_devices_goes_back_to_its_own_partition(settings: KafkaSettings) -> None:
    bury(settings, rejection(2, key=CONTROL_KEY), rejection(4, key=b""))
    dead = DeadLetters(settings)
    assert dead.retry(dead.pending()) == 2
    assert revived(settings) == {CONTROL_KEY: [(2, b"value 2")], b"": [(1, b"value 4")]}


def test_the_largest_record_fits_with_the_reason_around_it(settings: KafkaSettings) -> None:

    value = b"x" * (RECORD_BYTES_MAX - 200)
    largest = Rejection(0, 0, 7, b"default/pump", value, Reason.UNDECODABLE, "w" * 100_000)
    assert len(encode_rejected(largest)) + 1000 < REJECTED_BYTES_MAX
