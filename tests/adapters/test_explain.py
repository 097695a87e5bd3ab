"""Why an alert was raised, from the log alone."""

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from confluent_kafka import Producer

from actors.explain import explain
from actors.explanation import Explanation
from actors.rerun import Again, Span
from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import producer_config
from adapters.kafka.controls import publish
from adapters.kafka.range_reader import RangeReader
from fleetpulse.effects import F32, AlertEvent
from fleetpulse.errors import InputError
from fleetpulse.identity import partition_of
from fleetpulse.profile import AlertRule, Profile, WindowSpec, ZScoreSpec
from fleetpulse.reads import AlertRow, StoredAlert
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Assignment
from tests.core.logs import fake_scores, frame

PARTITIONS = 2
KEY = b"default/pump-1"
PARTITION = partition_of(KEY, PARTITIONS)
FRAME = 20
MODEL = Profile(
    name="pump", channels=("a", "b"), rate_hz=50, block_samples_max=25,
    window=WindowSpec(size=16, hop=8), model="any@1",
    alert=AlertRule(threshold=3, raise_after=2, clear_after=1, dedup_s=0),
)  # fmt: skip
ZSCORE = MODEL.model_copy(
    update={
        "name": "fan",
        "model": None,
        "zscore": ZScoreSpec(warmup_windows=5),
        "alert": AlertRule(threshold=2, raise_after=1, clear_after=1, dedup_s=0),
    }
)


class FakeModel:
    def score(self, model: str, samples: F32) -> F32:
        return fake_scores(samples)


@pytest.fixture(
    scope="module",
    params=[(MODEL, -2740), (ZSCORE, 2740)],
    ids=["model, before its slots", "z-score, after its slots"],
)
def again(kafka: KafkaSettings, request: pytest.FixtureRequest) -> Iterator[Again]:
    """Half a minute of one device among records of another, its samples beside their slots."""
    profile: Profile
    profile, beside_us = request.param
    prefix = f"{kafka.topic_prefix}{profile.name}."
    settings = kafka.model_copy(update={"partitions": PARTITIONS, "topic_prefix": prefix})
    KafkaAdmin(settings).create_topics()
    publish(settings, [profile], [Assignment(tenant="*", device_pattern="*", profile=profile.name)])
    producer = Producer(producer_config(settings, client_id="test"))
    period_us = profile.period_ns // 1000
    t0_us = (time.time_ns() // 1000 - 31_000_000) // period_us * period_us + beside_us
    for number in range(75):
        for key in (KEY, b"default/other"):
            value = frame(profile, 1, number * FRAME, FRAME, t0_us=t0_us)
            producer.produce(settings.topic("telemetry"), value, key, PARTITION)
    assert producer.flush(20) == 0
    log = RangeReader(settings, client_id="explain")
    yield Again(log, FakeModel(), PARTITIONS)
    log.close()


@pytest.fixture(scope="module")
def alerts(again: Again) -> list[AlertRow]:
    """What a live run over whole batches stores."""
    span = Span.whole(again.log, PARTITION, again.log.bounds(PARTITION)[1])
    events = [
        event
        for turn in again.run(span, frozenset({KEY}), again.engine(span))
        for event in turn.effects.alerts
        if event.kind == "raised"
    ]
    assert len(events) > 2
    return [row(event) for event in events]


def row(event: AlertEvent) -> AlertRow:
    return AlertRow(
        event.alert_id, event.tenant, event.device_id, event.raised_at_us, None,
        event.window_start_us, event.window_end_us, event.score, event.peak_score,
        event.threshold, event.model, event.profile,
    )  # fmt: skip


def test_each_alert_comes_again_with_the_same_bits(again: Again, alerts: list[AlertRow]) -> None:
    for alert in (alerts[0], alerts[-1]):
        found = explain(again, StoredAlert(alert))
        assert found.same_bits, f"{found.score} instead of {alert.score}"
        assert found.profile.ref == alert.profile
        assert_consistent(found)


def assert_consistent(found: Explanation) -> None:
    """Window, records and decision belong together."""
    alert, rule = found.stored.row, found.profile.alert
    assert found.window.shape == (16, 2)
    assert not np.isnan(found.window).any()
    if found.profile.model:
        assert fake_scores(found.window[None])[0] == np.float32(alert.score)
    half_us = found.profile.period_ns // 2000
    assert found.records[0].first_us - half_us <= alert.window_start_us
    assert found.records[-1].last_us + half_us >= alert.window_end_us - 2 * half_us
    assert 1 <= len(found.records) <= 2, "16 samples lie in at most two frames of 20"
    assert found.decided_at == found.records[-1].offset, "the window's last samples close it"
    assert found.scores[-1].window_end_us == alert.window_end_us
    assert all(score.over for score in found.scores[-rule.raise_after :])


def test_another_stored_score_is_noticed(again: Again, alerts: list[AlertRow]) -> None:
    wrong = float(np.nextafter(np.float32(alerts[0].score), np.float32(9)))
    assert not explain(again, StoredAlert(replace(alerts[0], score=wrong))).same_bits


def test_an_alert_that_the_log_does_not_give_is_said_so(
    again: Again, alerts: list[AlertRow]
) -> None:
    with pytest.raises(InputError, match="is not in what is left of partition"):
        explain(again, StoredAlert(replace(alerts[0], alert_id="0" * 32)))
