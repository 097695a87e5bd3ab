"""The durable way in: an answer means that the record is in the log."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import consumer_config
from adapters.kafka.producer import Record, TelemetryProducer
from fleetpulse.errors import BrokerUnavailable, Overloaded
from fleetpulse.identity import TICK_KEY, partition_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Tick

PARTITIONS = 3


@pytest.fixture(scope="module")
def settings(kafka: KafkaSettings) -> KafkaSettings:
    settings = kafka.model_copy(update={"partitions": PARTITIONS})
    KafkaAdmin(settings).create_topics()
    return settings


@pytest.fixture
def producer(settings: KafkaSettings) -> Iterator[TelemetryProducer]:
    producer = opened(settings)
    yield producer
    producer.close(10)


def opened(settings: KafkaSettings, *, ack_timeout_s: float = 10.0) -> TelemetryProducer:
    return TelemetryProducer(
        settings, node_id="node-1", inflight_records_max=1000, ack_timeout_s=ack_timeout_s
    )


def record(number: int) -> Record:
    device = f"pump-{number}"
    return f"default/{device}".encode(), b"%d" % number, [("device-id", device.encode())]


def in_log(settings: KafkaSettings) -> list[Message]:
    """Everything in telemetry now."""
    config = consumer_config(settings, client_id="check", group="check")
    consumer = Consumer(config | {"enable.partition.eof": True})
    topic = settings.topic("telemetry")
    consumer.assign([TopicPartition(topic, each, 0) for each in range(PARTITIONS)])
    found, ended = [], 0
    while ended < PARTITIONS:
        for message in consumer.consume(100, 0.1):
            ended += message.error() is not None
            found += [message] if message.error() is None else []
    consumer.close()
    return found


def test_acknowledged_records_are_in_their_devices_partitions(
    settings: KafkaSettings, producer: TelemetryProducer
) -> None:
    async def requests() -> None:
        await asyncio.gather(*(producer.send_many([record(n), record(n + 100)]) for n in range(50)))

    asyncio.run(requests())
    found = [each for each in in_log(settings) if each.key() != TICK_KEY]
    assert len(found) == 100
    for each in found:
        key = each.key() or b""
        assert each.partition() == partition_of(key, PARTITIONS), "Java would look elsewhere"
        assert dict(each.headers() or [])["device-id"] == key.partition(b"/")[2]


def test_time_passes_in_every_partition_without_data(settings: KafkaSettings) -> None:
    started_s = time.time()
    producer = opened(settings)
    asyncio.run(asyncio.sleep(1.3))
    producer.close(10)
    ticks = [
        each
        for each in in_log(settings)
        if each.key() == TICK_KEY and each.timestamp()[1] >= started_s * 1000
    ]
    assert {each.partition() for each in ticks} == set(range(PARTITIONS))
    assert len(ticks) == 2 * PARTITIONS, "one tick at once, one a second later"
    assert {Tick.FromString(each.value() or b"").node_id for each in ticks} == {"node-1"}


def test_a_request_beyond_the_bound_is_refused_before_anything_is_produced(
    settings: KafkaSettings, producer: TelemetryProducer
) -> None:
    before = len(in_log(settings))
    with pytest.raises(Overloaded):
        asyncio.run(producer.send_many([record(n) for n in range(1001)]))
    after = [each for each in in_log(settings)[before:] if each.key() != TICK_KEY]
    assert after == []


def test_silence_of_the_broker_is_told_in_time(settings: KafkaSettings) -> None:
    nobody = settings.model_copy(update={"bootstrap": "127.0.0.1:1"})
    producer = opened(nobody, ack_timeout_s=0.3)

    async def request() -> float:
        started_s = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            await producer.send_many([record(1)])
        return time.monotonic() - started_s

    assert asyncio.run(request()) < 2
    producer.close(1)


def test_a_closed_producer_refuses(settings: KafkaSettings) -> None:
    producer = opened(settings)
    producer.close(10)
    with pytest.raises(Overloaded):
        asyncio.run(producer.send_many([record(1)]))


def test_closing_waits_for_what_is_under_way(settings: KafkaSettings) -> None:
    producer = opened(settings)

    async def request() -> None:
        under_way = asyncio.create_task(producer.send_many([record(n) for n in range(500)]))
        await asyncio.sleep(0)
        await asyncio.to_thread(producer.close, 10)
        await under_way

    asyncio.run(request())
