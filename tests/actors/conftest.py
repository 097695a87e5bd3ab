"""Plants on the session's servers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from adapters.postgres.migrate import migrate
from fleetpulse.settings import KafkaSettings, PostgresSettings
from tests.actors.plant import Plant, a_plant


@pytest.fixture(scope="module")
def database(postgres: PostgresSettings) -> PostgresSettings:
    assert postgres.dsn is not None
    migrate(postgres.dsn.get_secret_value())
    return postgres


@pytest.fixture
def plants(kafka: KafkaSettings, database: PostgresSettings) -> Iterator[Callable[[], Plant]]:
    """Each call empties the database and begins with a log of its own."""
    with ExitStack() as ends:
        yield lambda: a_plant(kafka, database, ends)


@pytest.fixture
def plant(plants: Callable[[], Plant]) -> Plant:
    return plants()
