"""Connections with a bound on every wait, and what their errors mean to a caller."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import errors

from fleetpulse.errors import ConfigError, DatabaseUnavailable

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 10_000
# A stopped owner that holds a progress row locks its successor out at most this long.
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 5_000

LIMITS: Final[dict[str, Any]] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": STATEMENT_TIMEOUT_MS,
}
TIMEOUTS: Final = (
    f"SET statement_timeout = {STATEMENT_TIMEOUT_MS};"
    f"SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_TIMEOUT_MS}"
)


def connect(dsn: str, *, purpose: str) -> psycopg.Connection[Any]:
    """An autocommit connection; `purpose` is what the server's activity view shows."""
    with unavailable():
        connection = psycopg.connect(
            dsn, autocommit=True, application_name=f"fleetpulse-{purpose}", **LIMITS
        )
        connection.execute(TIMEOUTS)
        return connection


@contextmanager
def unavailable() -> Iterator[None]:
    """Turns a server that is away, slow or refuses for now into DatabaseUnavailable."""
    try:
        yield
    except errors.UndefinedTable as error:
        raise ConfigError(f"database: {error.diag.message_primary}; migrate it first") from error
    except (errors.InvalidPassword, errors.InvalidAuthorizationSpecification) as error:
        raise ConfigError(f"database: {error}") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError) as error:
        # InternalError: a session that idled too long, a primary that became read-only.
        raise DatabaseUnavailable(f"database: {error}".strip(), retry_after_s=0.5) from error
