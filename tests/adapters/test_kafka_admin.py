"""Topics: made once, and never used when they are not as the design needs them."""

import time

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.durable import DurableRecord, DurableWriter
from fleetpulse.errors import BrokerUnavailable, ConfigError
from fleetpulse.settings import KafkaSettings


@pytest.fixture
def settings(kafka: KafkaSettings, request: pytest.FixtureRequest) -> KafkaSettings:
    prefix = f"{kafka.topic_prefix}{request.node.name[:40]}."
    return kafka.model_copy(update={"partitions": 3, "topic_prefix": prefix})


def test_topics_are_created_once(settings: KafkaSettings) -> None:
    created = KafkaAdmin(settings).create_topics()
    assert settings.topic("telemetry") in created
    assert settings.topic("telemetry.dead") in created
    assert KafkaAdmin(settings).create_topics() == []


def test_another_number_of_partitions_is_refused(settings: KafkaSettings) -> None:
    KafkaAdmin(settings).create_topics()
    more = settings.model_copy(update={"partitions": 4})
    with pytest.raises(ConfigError, match="has 3, not 4"):
        KafkaAdmin(more).create_topics()


def test_a_telemetry_topic_with_the_senders_clock_is_refused(settings: KafkaSettings) -> None:
    name = settings.topic("telemetry")
    client = AdminClient({"bootstrap.servers": settings.servers})
    client.create_topics([NewTopic(name, 3, 1)])[name].result(10)
    with pytest.raises(ConfigError, match="LogAppendTime"):
        KafkaAdmin(settings).create_topics()


def test_watermarks_bound_what_is_in_the_log(settings: KafkaSettings) -> None:
    admin = KafkaAdmin(settings)
    admin.create_topics()
    topic = settings.topic("telemetry")
    records = [DurableRecord(topic, b"default/a", b"", 1)] * 4
    DurableWriter(settings, client_id="test").write(records, timeout_s=10)
    assert admin.watermarks() == {0: (0, 0), 1: (0, 4), 2: (0, 0)}


def test_a_topic_made_anew_has_another_id(settings: KafkaSettings) -> None:
    admin = KafkaAdmin(settings)
    admin.create_topics()
    first = admin.topic_id()
    assert first == KafkaAdmin(settings).topic_id()
    name = settings.topic("telemetry")
    client = AdminClient({"bootstrap.servers": settings.servers})
    client.delete_topics([name])[name].result(10)
    deadline = time.monotonic() + 10
    while name in client.list_topics(timeout=10).topics:
        assert time.monotonic() < deadline, "a deleted topic is still listed"
    with pytest.raises(ConfigError, match="does not exist"):
        admin.topic_id()
    admin.create_topics()
    assert admin.topic_id() != first


def test_a_broker_that_is_away_is_retried_later(settings: KafkaSettings) -> None:
    nobody = settings.model_copy(update={"bootstrap": "127.0.0.1:1"})
    with pytest.raises(BrokerUnavailable):
        KafkaAdmin(nobody, timeout_s=0.2).topic_id()
