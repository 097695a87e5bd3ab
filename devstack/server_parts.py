"""Kafka and PostgreSQL as parts of a stack."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from actors.revival import Revival
from adapters.kafka.admin import KafkaAdmin
from adapters.postgres.migrate import migrate
from devstack.kafka_cluster import KafkaCluster
from devstack.part import Started
from devstack.postgres_server import PostgresServer, postgres_folder
from devstack.profiles import publish_profiles
from fleetpulse.errors import RetryLater
from fleetpulse.settings import Settings

PATIENCE_S: Final = 20.0
"""For a server that just started: leaders are elected, the log is recovered."""

T = TypeVar("T")


class KafkaPart:
    """Our own brokers, unless the settings name others; missing topics and profiles are made."""

    name = "Kafka"

    def __init__(self, data_folder: Path) -> None:
        self._folder = data_folder / "kafka"
        self._cluster: KafkaCluster | None = None

    def start(self, settings: Settings) -> Started:
        """Start the brokers, create topics, publish profiles."""
        detail = settings.kafka.servers
        if settings.kafka.bootstrap:
            detail = f"external, {detail}"
        else:
            self._cluster = KafkaCluster(settings.kafka, self._folder)
            self._cluster.start()
        created = _patiently(KafkaAdmin(settings.kafka).create_topics)
        detail += f", {len(created)} topics created" if created else ""
        profiles = _patiently(partial(publish_profiles, settings))
        return Started(settings, f"{detail}, {profiles} profiles")

    def stop(self, timeout_s: float) -> None:
        """Shut the brokers down."""
        if self._cluster:
            self._cluster.stop(timeout_s)
            self._cluster = None

    def tend(self) -> str | None:
        """Start a broker that ended again; clients come back by themselves."""
        return self._cluster.tend() if self._cluster else None

    def abandon(self) -> None:
        """It runs on nothing of ours."""


class PostgresPart:
    """Our own database, unless the settings name one; either is brought to the newest schema."""

    name = "PostgreSQL"

    def __init__(self, data_folder: Path) -> None:
        self._folder = postgres_folder(data_folder)
        self._server: PostgresServer | None = None
        self._revival = Revival()

    def start(self, settings: Settings) -> Started:
        """Start the server, migrate the database."""
        detail = "external"
        if settings.postgres.dsn is None:
            self._server = PostgresServer(settings.postgres, self._folder)
            self._server.start()
            postgres = settings.postgres.model_copy(update={"dsn": self._server.dsn})
            settings = settings.model_copy(update={"postgres": postgres})
            detail = f"127.0.0.1:{postgres.port}"
        assert settings.postgres.dsn is not None
        applied = _patiently(partial(migrate, settings.postgres.dsn.get_secret_value()))
        return Started(
            settings, detail + (f", {len(applied)} migrations applied" if applied else "")
        )

    def stop(self, timeout_s: float) -> None:
        """Shut the server down."""
        if self._server:
            self._server.stop(timeout_s)
            self._server = None

    def tend(self) -> str | None:
        """Start a server that ended again; clients come back by themselves."""
        if self._server is None or self._server.pid or not self._revival.due():
            return None
        self._server.launch()
        return f"PostgreSQL ended and was started again; see {self._folder / 'postgres.log'}"

    def abandon(self) -> None:
        """It runs on nothing of ours."""


def _patiently(action: Callable[[], T]) -> T:
    """Repeat while the server asks for it, for at most PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return action()
        except RetryLater as error:
            if time.monotonic() + error.retry_after_s > deadline:
                raise
            time.sleep(error.retry_after_s)
