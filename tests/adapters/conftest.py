"""A migrated database of the module's own, and sinks on it."""

from collections.abc import Iterator

import psycopg
import pytest

from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.migrate import migrate
from adapters.postgres.rollup_sink import PostgresRollupSink
from fleetpulse.settings import PostgresSettings


@pytest.fixture(scope="module")
def dsn(postgres: PostgresSettings) -> str:
    assert postgres.dsn is not None
    return postgres.dsn.get_secret_value()


@pytest.fixture
def database(dsn: str) -> Iterator[psycopg.Connection]:
    migrate(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE alerts, devices, sessions, profiles, progress,"
            " rollup_minute, rollup_hour, rollup_day"
        )
        yield connection


@pytest.fixture
def alerts(dsn: str) -> Iterator[PostgresAlertSink]:
    sink = PostgresAlertSink(dsn, topic_id="topic")
    yield sink
    sink.close()


@pytest.fixture
def rollups(dsn: str) -> Iterator[PostgresRollupSink]:
    sink = PostgresRollupSink(dsn, topic_id="topic")
    yield sink
    sink.close()
