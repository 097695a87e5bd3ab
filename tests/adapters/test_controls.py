"""Control records: in every partition, once in the copy, harmless to repeat."""

import pytest
from confluent_kafka import Consumer, TopicPartition

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import consumer_config
from adapters.kafka.controls import ControlReader, publish
from fleetpulse.control import ControlState
from fleetpulse.identity import CONTROL_KEY, DeviceKey
from fleetpulse.profile import AlertRule, Profile
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Assignment

PARTITIONS = 3
PUMP = Profile(name="pump", channels=("flow",), rate_hz=200, alert=AlertRule(threshold=1))
PUMP_2 = PUMP.model_copy(update={"revision": 2})
ALL = Assignment(tenant="*", device_pattern="*", profile="pump", profile_revision=1)
ALL_2 = Assignment(tenant="*", device_pattern="*", profile="pump", profile_revision=2)


@pytest.fixture
def settings(kafka: KafkaSettings, request: pytest.FixtureRequest) -> KafkaSettings:
    prefix = f"{kafka.topic_prefix}{request.node.name[:40]}."
    settings = kafka.model_copy(update={"partitions": PARTITIONS, "topic_prefix": prefix})
    KafkaAdmin(settings).create_topics()
    return settings


def states(settings: KafkaSettings) -> list[ControlState]:
    """What shards make of each partition."""
    config = consumer_config(settings, client_id="check", group="check")
    consumer = Consumer(config | {"enable.partition.eof": True})
    topic = settings.topic("telemetry")
    consumer.assign([TopicPartition(topic, each, 0) for each in range(PARTITIONS)])
    found = [ControlState() for _ in range(PARTITIONS)]
    ended = 0
    while ended < PARTITIONS:
        for message in consumer.consume(100, 0.1):
            if message.error():
                ended += 1
            else:
                assert message.key() == CONTROL_KEY
                found[message.partition() or 0].apply(message.value() or b"")
    consumer.close()
    return found


def profiles_of_a_pump(settings: KafkaSettings) -> set[str]:
    found = {state.profile_of(DeviceKey("default", "pump-1")) for state in states(settings)}
    return {each.ref if each else "" for each in found}


def test_every_partition_gets_the_profile_and_its_assignment(settings: KafkaSettings) -> None:
    assert len(publish(settings, [PUMP], [ALL])) == 2
    assert profiles_of_a_pump(settings) == {"pump@1"}


def test_publishing_again_changes_nothing(settings: KafkaSettings) -> None:
    publish(settings, [PUMP], [ALL])
    assert publish(settings, [PUMP], [ALL]) == []
    assert {len(state.seen) for state in states(settings)} == {2}


def test_an_earlier_assignment_can_be_returned_to(settings: KafkaSettings) -> None:
    publish(settings, [PUMP, PUMP_2], [ALL])
    publish(settings, [], [ALL_2])
    assert profiles_of_a_pump(settings) == {"pump@2"}
    publish(settings, [], [ALL])
    assert profiles_of_a_pump(settings) == {"pump@1"}, "a rollback was taken for a repetition"


def test_a_later_publication_repeats_the_earlier_ones(settings: KafkaSettings) -> None:
    """Retention may have taken them from telemetry."""
    publish(settings, [PUMP], [ALL])
    before = states(settings)[0].seen
    publish(settings, [PUMP_2], [])
    config = consumer_config(settings, client_id="check", group="check")
    consumer = Consumer(config)
    consumer.assign([TopicPartition(settings.topic("telemetry"), 0, 2)])
    again = ControlState()
    while len(again.seen) < 3:
        message = consumer.poll(5)
        assert message is not None, "not every control came again"
        again.apply(message.value() or b"")
    consumer.close()
    assert list(again.seen)[:2] == list(before)


def test_a_follower_gets_each_control_once_and_what_comes_later(settings: KafkaSettings) -> None:
    reader = ControlReader(settings, client_id="ingest")
    assert reader.read() == []
    publish(settings, [PUMP], [ALL])
    state = ControlState()
    assert [state.apply(value) for value in reader.read()] == [True, True]
    assert reader.read() == []
    publish(settings, [PUMP_2], [ALL_2])
    for value in reader.read():
        state.apply(value)
    profile = state.profile_of(DeviceKey("default", "pump-1"))
    assert profile is not None
    assert profile.ref == "pump@2"
    reader.close()
