"""Reading a part of the log once more, and running the engine over it."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from actors.rerun import SLACK_US, Again, Span
from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import producer_config
from adapters.kafka.controls import publish
from adapters.kafka.range_reader import RangeReader
from fleetpulse.effects import F32, Effects
from fleetpulse.identity import partition_of
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Assignment
from tests.core.logs import fake_scores, frame

PARTITIONS = 2
KEY = b"default/pump-1"
PARTITION = partition_of(KEY, PARTITIONS)
PROFILE = Profile(
    name="pump", channels=("a", "b"), rate_hz=50, lateness_ms=200, block_samples_max=25,
    window=WindowSpec(size=16, hop=8), model="any@1", alert=AlertRule(threshold=3),
)  # fmt: skip


class FakeModel:
    def score(self, model: str, samples: F32) -> F32:
        assert model == PROFILE.model
        return fake_scores(samples)


@pytest.fixture(scope="module")
def settings(kafka: KafkaSettings) -> KafkaSettings:
    """Controls, then four seconds of one device among records of another."""
    settings = kafka.model_copy(update={"partitions": PARTITIONS})
    KafkaAdmin(settings).create_topics()
    publish(settings, [PROFILE], [Assignment(tenant="*", device_pattern="*", profile="pump")])
    producer = Producer(producer_config(settings, client_id="test"))
    t0_us = time.time_ns() // 1000 - 5_000_000
    for number in range(8):
        for key in (KEY, b"default/other"):
            value = frame(PROFILE, 1, number * 25, 25, t0_us=t0_us)
            producer.produce(settings.topic("telemetry"), value, key, PARTITION)
    assert producer.flush(20) == 0
    return settings


@pytest.fixture
def log(settings: KafkaSettings) -> Iterator[RangeReader]:
    reader = RangeReader(settings, client_id="again")
    yield reader
    reader.close()


def offsets(log: RangeReader, begin: int, end: int) -> list[int]:
    return [int(o) for batch in log.read(PARTITION, begin, end) for o in batch.offsets]


def test_a_range_has_its_records_and_no_others(log: RangeReader) -> None:
    first, end = log.bounds(PARTITION)
    assert offsets(log, first, end) == list(range(first, end))
    assert offsets(log, first + 3, first + 5) == [first + 3, first + 4]
    assert offsets(log, end, end + 10) == []
    assert offsets(log, end - 1, end + 10) == [end - 1]


def test_an_offset_is_found_by_append_time(log: RangeReader) -> None:
    first, end = log.bounds(PARTITION)
    newest_us = log.time_at(PARTITION, end - 1)
    assert log.offset_at(PARTITION, 0) == first
    assert first <= log.offset_at(PARTITION, newest_us) < end
    assert log.offset_at(PARTITION, newest_us + 1_000_000) == end
    assert log.time_at(PARTITION, end) == 0


def test_controls_are_known_by_their_age(log: RangeReader) -> None:
    now_us = time.time_ns() // 1000
    assert len(log.controls(now_us + 1_000_000)) == 2
    assert log.controls(now_us - 3_600_000_000) == []


def test_a_device_is_run_again_without_its_neighbours(log: RangeReader) -> None:
    again = Again(log, FakeModel(), PARTITIONS)
    span = Span.whole(log, PARTITION, log.bounds(PARTITION)[1])
    engine, effects = again.engine(span), Effects()
    for turn in again.run(span, frozenset({KEY}), engine):
        effects.extend(turn.effects)
    assert [seen.device_id for seen in effects.devices] == ["pump-1"]
    assert sum(len(rows.devices) for rows in effects.scores) > 20
    assert not effects.dead


def test_a_span_knows_the_controls_from_before_it(log: RangeReader) -> None:
    end = log.bounds(PARTITION)[1]
    begin = end - 6
    span = Span(PARTITION, begin, end, log.time_at(PARTITION, begin) + SLACK_US)
    again, effects = Again(log, FakeModel(), PARTITIONS), Effects()
    for turn in again.run(span, frozenset({KEY}), again.engine(span)):
        effects.extend(turn.effects)
    assert effects.scores, "the profile is known although its control is older than the span"
    since = Span.since(log, PARTITION, log.time_at(PARTITION, begin), end)
    assert since.begin <= begin, "nothing of what was asked for is left out"
