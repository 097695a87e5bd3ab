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

_SETTING: Final = "FLEETPULSE_POSTGRES__DSN"
# A connection that fails has no SQLSTATE. In another language than English it counts as away.
_REFUSALS: Final = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "certificate",
    "does not support SSL",
    "invalid sslmode",
    "does not exist",
)

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
    """An autocommit connection; `purpose` is what the server's activity view shows.

    Raises ConfigError when the server, or our trust in it, refuses the connection for good.
    """
    with unavailable():
        try:
            connection = psycopg.connect(
                dsn, autocommit=True, application_name=f"fleetpulse-{purpose}", **LIMITS
            )
        except psycopg.ProgrammingError:
            # libpq quotes what it does not understand, which may be the password.
            raise ConfigError(f"{_SETTING}: not a connection string that libpq takes") from None
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            if any(words in said for words in _REFUSALS):
                raise ConfigError(f"{_SETTING}: {said}") from error
            raise
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
        raise DatabaseUnavailable(
            f"database: {' '.join(str(error).split())}", retry_after_s=0.5
        ) from error
