"""A broker and a database that the settings name are used, and left running."""

from pathlib import Path

import psycopg
import pytest

from adapters.kafka.admin import KafkaAdmin
from devstack.part import Part
from devstack.server_parts import KafkaPart, PostgresPart
from devstack.status import status_of
from fleetpulse.errors import ConfigError
from fleetpulse.settings import KafkaSettings, PostgresSettings, Settings


@pytest.fixture(scope="module")
def settings(
    kafka: KafkaSettings, postgres: PostgresSettings, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    external = kafka.model_copy(update={"bootstrap": kafka.servers, "partitions": 2})
    folder = tmp_path_factory.mktemp("data")
    return Settings(data_folder=folder, kafka=external, postgres=postgres)


@pytest.fixture(scope="module")
def parts(settings: Settings) -> list[str]:
    """What the two parts told when they started; both are stopped before the test looks."""
    both: list[Part] = [KafkaPart(settings.data_folder), PostgresPart(settings.data_folder)]
    told = []
    for part in both:
        told.append(part.start(settings).detail)
        assert part.tend() is None, "somebody else's server is not ours to start again"
        part.stop(1.0)
    return told


def test_they_are_named_as_external(parts: list[str]) -> None:
    assert [text.split(",")[0] for text in parts] == ["external"] * 2


def test_they_are_prepared_and_left_running(settings: Settings, parts: list[str]) -> None:
    assert len(KafkaAdmin(settings.kafka).watermarks()) == 2, "the topic has our partitions"
    assert settings.postgres.dsn is not None
    with psycopg.connect(settings.postgres.dsn.get_secret_value()) as connection:
        assert connection.execute("SELECT count(*) FROM alerts").fetchone() == (0,)


def test_nothing_of_them_is_stored_here(settings: Settings, parts: list[str]) -> None:
    assert list(Path(settings.data_folder).iterdir()) == []


def test_status_tells_what_recovery_an_external_broker_allows(settings: Settings) -> None:
    status = status_of(settings)
    assert status.stack is None, "no stack runs, the broker is asked all the same"
    assert status.recovery is not None
    assert (status.recovery.takeover_s, status.recovery.remedy) == (3.5, None)


def test_a_default_profile_that_does_not_exist_is_named(settings: Settings) -> None:
    wrong = settings.model_copy(update={"default_profile": "submarine"})
    with pytest.raises(ConfigError, match=r"FLEETPULSE_DEFAULT_PROFILE: .* no profile submarine"):
        KafkaPart(settings.data_folder).start(wrong)
