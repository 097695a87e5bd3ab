"""Brings a database to the newest schema: numbered SQL files, each applied once, never edited."""

from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import psycopg

from adapters.postgres.connection import connect, unavailable
from fleetpulse.errors import ConfigError

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_LOCK: Final = 0x666C656574  # "fleet": one migration at a time per database


def migrate(dsn: str, *, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing, in order; returns the names applied. Safe to call from several hosts.

    Raises ConfigError when an applied file was changed or is unknown to this release.
    """
    with unavailable(), connect(dsn, purpose="migrate") as connection:
        # Waiting for another migration may take longer than a statement usually may.
        connection.execute("SET statement_timeout = '10min'")
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        applied = _applied(connection)
        files = {path.name: path.read_text() for path in sorted(folder.glob("[0-9]*.sql"))}
        _check(applied, files)
        missing = [name for name in files if name not in applied]
        for name in missing:
            with connection.transaction():
                connection.execute(files[name].encode())
                connection.execute(
                    "INSERT INTO migrations (name, checksum) VALUES (%s, %s)",
                    (name, _checksum(files[name])),
                )
        return missing


def _applied(connection: psycopg.Connection[Any]) -> dict[str, str]:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    return dict(connection.execute("SELECT name, checksum FROM migrations").fetchall())


def _check(applied: dict[str, str], files: dict[str, str]) -> None:
    for name, checksum in sorted(applied.items()):
        if name not in files:
            raise ConfigError(f"database: migration {name} is of a newer release than this one")
        if checksum != _checksum(files[name]):
            raise ConfigError(f"database: migration {name} was changed after it was applied")


def _checksum(text: str) -> str:
    return sha256(text.encode()).hexdigest()
