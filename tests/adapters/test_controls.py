"""Control records: in every partition, once in the copy, harmless to repeat."""

import pytest
from confluent_kafka import Consumer, TopicPartition

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import consumer_config
from adapters.kafka.controls import ControlReader, publish
from adapters.kafka.device_controls import DeviceControls
from adapters.kafka.run_controls import ask_savepoint, raise_result_version
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


def records(settings: KafkaSettings) -> int:
    """Of the first partition."""
    return KafkaAdmin(settings).watermarks()[0][1]


def profiles_of_a_pump(settings: KafkaSettings) -> set[str]:
    found = {state.profile_of(b"default/pump-1") for state in states(settings)}
    return {each.ref if each else "" for each in found}


def test_every_partition_gets_the_profile_and_its_assignment(settings: KafkaSettings) -> None:
    assert len(publish(settings, [PUMP], [ALL])) == 2
    assert profiles_of_a_pump(settings) == {"pump@1"}


def test_publishing_again_changes_nothing(settings: KafkaSettings) -> None:
    publish(settings, [PUMP], [ALL])
    assert publish(settings, [PUMP], [ALL]) == []
    assert {len(state.lasting) for state in states(settings)} == {2}


def test_an_earlier_assignment_can_be_returned_to(settings: KafkaSettings) -> None:
    publish(settings, [PUMP, PUMP_2], [ALL])
    publish(settings, [], [ALL_2])
    assert profiles_of_a_pump(settings) == {"pump@2"}
    publish(settings, [], [ALL])
    assert profiles_of_a_pump(settings) == {"pump@1"}, "a rollback was taken for a repetition"


def test_a_later_publication_repeats_the_earlier_ones(settings: KafkaSettings) -> None:
    """Retention may have taken them from telemetry."""
    publish(settings, [PUMP], [ALL])
    before = states(settings)[0].lasting
    publish(settings, [PUMP_2], [])
    config = consumer_config(settings, client_id="check", group="check")
    consumer = Consumer(config)
    consumer.assign([TopicPartition(settings.topic("telemetry"), 0, 2)])
    again = ControlState()
    while len(again.lasting) < 3:
        message = consumer.poll(5)
        assert message is not None, "not every control came again"
        again.apply(message.value() or b"")
    consumer.close()
    assert list(again.lasting)[:2] == list(before)


def test_a_follower_gets_each_control_once_and_what_comes_later(settings: KafkaSettings) -> None:
    reader = ControlReader(settings, client_id="ingest")
    assert reader.read() == []
    publish(settings, [PUMP], [ALL])
    state = ControlState()
    assert all(state.apply(value) for value in reader.read())
    assert reader.read() == []
    publish(settings, [PUMP_2], [ALL_2])
    for value in reader.read():
        state.apply(value)
    profile = state.profile_of(b"default/pump-1")
    assert profile is not None
    assert profile.ref == "pump@2"
    reader.close()


def test_a_device_is_paused_and_resumed_as_often_as_one_likes(settings: KafkaSettings) -> None:
    pump = DeviceKey("default", "pump-1")
    controls = DeviceControls(settings)
    assert controls.pause(pump, paused=False) is None, "it was not paused"
    for paused in (True, False, True):
        assert controls.pause(pump, paused=paused)
        assert controls.pause(pump, paused=paused) is None
        assert {state.is_paused(pump.encode()) for state in states(settings)} == {paused}
    assert not states(settings)[0].is_paused(b"default/pump-2")


def test_a_deletion_is_not_repeated_by_later_publications(settings: KafkaSettings) -> None:
    pump = DeviceKey("default", "pump-1")
    controls = DeviceControls(settings)
    first, second = controls.forget(pump), controls.forget(pump)
    assert first != second, "each deletion is an act of its own"
    publish(settings, [PUMP], [ALL])
    seen = states(settings)[0].seen
    assert [each for each in seen if each.startswith("forget")] == [first, second]
    assert records(settings) == 4, "it was written again"


def test_savepoints_and_result_versions_reach_every_partition_once(settings: KafkaSettings) -> None:
    assert ask_savepoint(settings, "monday") != ask_savepoint(settings, "monday")
    assert raise_result_version(settings, 2) == (2, None)
    current, control = raise_result_version(settings, 3)
    assert (current, bool(control)) == (2, True)
    assert raise_result_version(settings, 3) == (3, None)
    assert {state.result_version for state in states(settings)} == {3}
    publish(settings, [PUMP], [ALL])
    assert records(settings) == 6, "a savepoint was repeated, or a result version was not"
