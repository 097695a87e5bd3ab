"""The parts of a stack in starting order; each knows how to start and stop itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapters.postgres.migrate import migrate
from devstack.kafka_server import KafkaServer
from devstack.postgres_server import PostgresServer
from devstack.ray_node import start_ray, stop_ray
from fleetpulse.settings import Settings


@dataclass(frozen=True, slots=True)
class Started:
    """settings: what the next parts see. detail: for people, such as an address."""

    settings: Settings
    detail: str
    ray_address: str = ""


class Part(Protocol):
    """Something that a stack starts and stops."""

    name: str

    def start(self, settings: Settings) -> Started:
        """Start and wait until it serves; raises FleetpulseError."""

    def stop(self, timeout_s: float) -> None:
        """End it within `timeout_s`. Called also when `start` failed half way."""

    def problem(self) -> str | None:
        """Why it no longer works; None while it does."""


class KafkaPart:
    """Our own broker, unless the settings name one."""

    name = "Kafka"

    def __init__(self, data_folder: Path) -> None:
        self._folder = data_folder / "kafka"
        self._server: KafkaServer | None = None

    def start(self, settings: Settings) -> Started:
        """Start the broker."""
        if settings.kafka.bootstrap:
            return Started(settings, f"external, {settings.kafka.servers}")
        self._server = KafkaServer(settings.kafka, self._folder)
        self._server.start()
        return Started(settings, settings.kafka.servers)

    def stop(self, timeout_s: float) -> None:
        """Shut the broker down."""
        if self._server:
            self._server.stop(timeout_s)
            self._server = None

    def problem(self) -> str | None:
        """Whether the broker ended."""
        ended = self._server is not None and self._server.pid is None
        return f"Kafka ended; see {self._folder / 'kafka.log'}" if ended else None


class PostgresPart:
    """Our own database, unless the settings name one; either is brought to the newest schema."""

    name = "PostgreSQL"

    def __init__(self, data_folder: Path) -> None:
        self._folder = data_folder / "postgres"
        self._server: PostgresServer | None = None

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
        applied = migrate(settings.postgres.dsn.get_secret_value())
        return Started(settings, detail + (f", {len(applied)} migrations" if applied else ""))

    def stop(self, timeout_s: float) -> None:
        """Shut the server down."""
        if self._server:
            self._server.stop(timeout_s)
            self._server = None

    def problem(self) -> str | None:
        """Whether the server ended."""
        ended = self._server is not None and self._server.pid is None
        return f"PostgreSQL ended; see {self._folder / 'postgres.log'}" if ended else None


class RayPart:
    """Our own Ray on loopback, unless the settings name a cluster."""

    name = "Ray"

    def __init__(self, data_folder: Path) -> None:
        self._data_folder = data_folder

    def start(self, settings: Settings) -> Started:
        """Start or connect."""
        address = start_ray(settings.ray, self._data_folder)
        return Started(settings, address, ray_address=address)

    def stop(self, timeout_s: float) -> None:  # noqa: ARG002  # Ray ends in 1.5 s, by force
        """End a local Ray, leave another one."""
        stop_ray()

    def problem(self) -> str | None:
        """Ray's own processes end the actors that need them, which the shards report."""
        return None


def parts_of(settings: Settings) -> list[Part]:
    """All parts, in starting order."""
    folder = settings.data_folder
    return [KafkaPart(folder), PostgresPart(folder), RayPart(folder)]
