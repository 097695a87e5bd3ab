"""A PostgreSQL behind TLS, named by a setting of the environment."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.migrate import migrate
from adapters.postgres.reads import PostgresReads
from adapters.postgres.rollup_sink import PostgresRollupSink
from fleetpulse.errors import ConfigError
from fleetpulse.ports import Advance
from fleetpulse.settings import PostgresSettings, load_settings
from tests.adapters.certificates import Authority
from tests.adapters.tls_front import TlsFront
from tests.contracts.cases import effects


@dataclass(frozen=True)
class Database:
    """verified: how to connect with certificate and host name verified."""

    verified: str
    without_tls: str
    root: Path
    stranger: Path
    another_host_port: int


@pytest.fixture(scope="module")
def database(postgres: PostgresSettings, server_folder: Path) -> Iterator[Database]:
    assert postgres.dsn is not None
    dsn = postgres.dsn.get_secret_value()
    authority = Authority(server_folder / "postgres-authority")
    stranger = Authority(server_folder / "postgres-stranger")
    front = TlsFront(authority.server(), server_port=postgres.port)
    elsewhere = TlsFront(authority.server("127.0.0.2"), server_port=postgres.port)
    query = f"?sslmode=verify-full&sslrootcert={authority.root}"
    try:
        yield Database(
            at_port(dsn, front.port) + query,
            dsn + query,
            authority.root,
            stranger.root,
            elsewhere.port,
        )
    finally:
        front.close()
        elsewhere.close()


def at_port(dsn: str, port: int) -> str:
    return re.sub(r":\d+/", f":{port}/", dsn)


def read(dsn: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEETPULSE_POSTGRES__DSN", dsn)
        settings = load_settings().postgres
    assert settings.dsn is not None
    return settings.dsn.get_secret_value()


def test_sinks_write_and_reads_read_over_tls(database: Database) -> None:
    dsn = read(database.verified)
    assert migrate(dsn), "an empty database was not migrated"
    sinks = PostgresAlertSink(dsn, topic_id="topic"), PostgresRollupSink(dsn, topic_id="topic")
    for sink in sinks:
        claim = sink.claim([0])[0]
        sink.write(effects(1), {0: Advance(claim.owner_epoch, 0, 1)})
        sink.close()
    reads = PostgresReads(dsn)

    async def open_alerts() -> set[bytes]:
        try:
            return await reads.open_alerts()
        finally:
            await reads.close()

    assert asyncio.run(open_alerts()) == {b"default/pump-1"}
    with psycopg.connect(dsn) as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT count(*) FROM rollup_minute").fetchone() == (1,)


REFUSALS = {
    "wrong password": "password authentication failed",
    "no password": "no password supplied",
    "untrusted server": "certificate verify failed",
    "another host's certificate": "does not match host name",
    "missing root certificate": "does not exist",
    "server without TLS": "does not support SSL",
    "unknown word": "not a connection string",
    "unknown mode": "invalid sslmode",
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_one_line_that_names_the_setting(database: Database, case: str) -> None:
    good = database.verified
    password = re.findall(r":([^:]+)@", good)[0]
    dsn = {
        "wrong password": good.replace(password, "wrong-secret"),
        "no password": good.replace(f":{password}@", "@"),
        "untrusted server": good.replace(str(database.root), str(database.stranger)),
        "another host's certificate": at_port(good, database.another_host_port),
        "missing root certificate": good.replace(str(database.root), "/nowhere.pem"),
        "server without TLS": database.without_tls,
        "unknown word": good.replace("sslmode", "sslmod"),
        "unknown mode": good.replace("verify-full", "always"),
    }[case]
    with pytest.raises(
        ConfigError, match=f"^FLEETPULSE_POSTGRES__DSN: .*{REFUSALS[case]}"
    ) as refused:
        migrate(read(dsn))
    said = str(refused.value)
    assert "\n" not in said
    assert password not in said
    assert "secret" not in said
