"""What the check of a run reads of silence and sessions is what the sinks wrote."""

from collections.abc import Iterator

import psycopg
import pytest

from adapters.kafka.admin import KafkaAdmin
from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.migrate import migrate
from benchmarks import emitted_events
from benchmarks.offline.sessions import Session
from fleetpulse.effects import DeviceSeen, Effects, Presence
from fleetpulse.ports import Advance, EffectSink
from fleetpulse.settings import KafkaSettings, PostgresSettings
from tests.contracts.cases import PARTITIONS, T0_US, KafkaCase, session

KEY = b"default/pump-1"
WRITTEN = Effects(
    devices=[DeviceSeen(0, "default", "pump-1", "pump@1", T0_US)],
    presences=[
        Presence(0, "default", "pump-1", "offline", T0_US + 5, T0_US + 1),
        Presence(0, "default", "pump-1", "online", T0_US + 8, T0_US + 1),
        Presence(0, "default", "pump-1", "offline", T0_US + 9, T0_US + 8),
    ],
    sessions=[session(1, ended=False), session(1, ended=True), session(2, ended=False)],
)
PRESENCES = {
    (KEY, "offline", T0_US + 5): T0_US + 1,
    (KEY, "online", T0_US + 8): T0_US + 1,
    (KEY, "offline", T0_US + 9): T0_US + 8,
}


def write(sink: EffectSink) -> None:
    epoch = sink.claim([0])[0].owner_epoch
    sink.write(WRITTEN, {0: Advance(epoch, 0, 1)})


def check_ended(found: Session) -> None:
    assert (found.started_at_us, found.ended_at_us) == (T0_US + 60_000_000, T0_US + 69_000_000)
    assert [each.count for each in found.channels] == [7, 0]
    assert found.channels[0].std == 0.5
    assert found.scores is not None
    assert (found.scores.count, found.scores.mean, found.score_over) == (4, 0.75, 1)


@pytest.fixture
def case(kafka: KafkaSettings) -> Iterator[KafkaCase]:
    settings = kafka.model_copy(
        update={"partitions": PARTITIONS, "topic_prefix": f"{kafka.topic_prefix}events."}
    )
    KafkaAdmin(settings).create_topics()
    case = KafkaCase(settings)
    yield case
    case.close()


def test_the_topic(case: KafkaCase) -> None:
    write(case.owner())
    presences, sessions = emitted_events.events(case.settings)
    assert dict(presences) == PRESENCES
    assert [key[1:] for key, _ in sessions] == [
        (f"{1:032x}", "started"),
        (f"{1:032x}", "ended"),
        (f"{2:032x}", "started"),
    ]
    check_ended(sessions[1][1])
    assert sessions[2][1] == Session(f"{2:032x}", T0_US + 120_000_000, None)


def test_the_tables(postgres: PostgresSettings) -> None:
    assert postgres.dsn is not None
    dsn = postgres.dsn.get_secret_value()
    migrate(dsn)
    sink = PostgresAlertSink(dsn, topic_id="topic")
    write(sink)
    sink.close()
    with psycopg.connect(dsn) as connection:
        offline = dict(emitted_events.offline_rows(connection))
        sessions = dict(emitted_events.session_rows(connection))
    assert offline == emitted_events.expected_offline_rows(PRESENCES)
    assert offline == {(KEY, "offline", T0_US + 9): T0_US + 8}
    check_ended(sessions[KEY, f"{1:032x}"])
    assert sessions[KEY, f"{2:032x}"].ended_at_us is None
