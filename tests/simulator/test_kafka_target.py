"""The Kafka target against a real broker."""

import time
from collections import defaultdict

from confluent_kafka import Consumer, TopicPartition

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import consumer_config
from fleetpulse.identity import TICK_KEY, partition_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.wire import decode_block
from simulator.fleet import Fleet, FleetSpec
from simulator.targets.kafka import KafkaTarget

ROUNDS = 5
DEVICES = 30


def test_frames_and_ticks_lie_in_their_partitions_in_order(kafka: KafkaSettings) -> None:
    KafkaAdmin(kafka).create_topics()
    fleet = Fleet(FleetSpec(devices=DEVICES), start_us=0)
    target = KafkaTarget(kafka, frame_samples=20)
    for number in range(ROUNDS):
        target.send(fleet.frames(number))
    target.close(10.0)
    counts = target.tally.counts()
    assert counts.sent == counts.accepted == ROUNDS * DEVICES * 20

    sequences: defaultdict[bytes, list[int]] = defaultdict(list)
    ticks = set()
    for partition, key, value in log_of(kafka):
        if key == TICK_KEY:
            ticks.add(partition)
        else:
            assert partition == partition_of(key, kafka.partitions)
            sequences[key].append(decode_block(value).sequence)
    assert ticks == set(range(kafka.partitions)), "somebody who accepts data must tick"
    assert set(sequences) == set(fleet.keys)
    assert all(found == list(range(ROUNDS)) for found in sequences.values())


def log_of(kafka: KafkaSettings) -> list[tuple[int, bytes, bytes]]:
    """Every record of the telemetry topic: partition, key, value."""
    topic = kafka.topic("telemetry")
    missing = {p: end for p, (_, end) in KafkaAdmin(kafka).watermarks().items()}
    consumer = Consumer(consumer_config(kafka, client_id="test", group="test"))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in missing])
    found = []
    deadline = time.monotonic() + 20.0
    while any(missing.values()) and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.1):
            partition, key, value = message.partition(), message.key(), message.value()
            assert partition is not None
            found.append((partition, bytes(key or b""), bytes(value or b"")))
            missing[partition] -= 1
    consumer.close()
    assert not any(missing.values()), "the log could not be read to its end"
    return found
