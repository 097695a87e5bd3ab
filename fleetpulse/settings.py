"""All settings, in frozen groups. Environment: FLEETPULSE_<GROUP>__<FIELD>.

`load_settings()` is called once, at the composition root; everything else is handed its group.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from fleetpulse.errors import ConfigError


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Group):
    """The broker: our own on loopback unless `bootstrap` names another."""

    bootstrap: str | None = None
    """host:port[,host:port] of an existing cluster."""
    port: int = Field(19092, ge=1024, le=65535)
    """Of our own broker; its controller listens on the next port."""
    heap_mb: int = Field(384, ge=128)
    """Java heap of our own broker."""
    topic_prefix: str = ""
    """Put before every topic, group and transactional id: several fleets on one cluster."""
    partitions: int = Field(8, ge=1, le=1024)
    """Of the telemetry topic; fixed at creation."""
    replication: int = Field(1, ge=1, le=5)
    """Replicas of each topic."""
    retention_h: float = Field(24.0, gt=0)
    """How long the telemetry topic keeps records."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = None
    ssl_certificate_location: Path | None = None
    ssl_key_location: Path | None = None

    @property
    def servers(self) -> str:
        """What a client connects to."""
        return self.bootstrap or f"127.0.0.1:{self.port}"

    def topic(self, name: str) -> str:
        """A topic's full name."""
        return f"{self.topic_prefix}{name}"


class PostgresSettings(_Group):
    """The database: our own on loopback unless `dsn` names another."""

    dsn: SecretStr | None = None
    """postgresql://user:password@host/db?sslmode=verify-full&sslrootcert=… of an existing one."""
    port: int = Field(15432, ge=1024, le=65535)
    """Of our own server."""


class HttpSettings(_Group):
    """Page, API and ingest."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1024, le=65535)
    ingest_replicas: int = Field(1, ge=1, le=64)
    query_replicas: int = Field(1, ge=1, le=64)
    body_bytes_max: int = Field(4 * 1024 * 1024, ge=1024)
    """Largest request body; beyond it 413."""
    metrics_per_sample_max: int = Field(64, ge=1)
    """Most metrics in one sample; beyond it 422."""
    inflight_records_max: int = Field(50_000, ge=100)
    """Records of one replica that wait for the broker; beyond it 503 with Retry-After."""
    ack_timeout_s: float = Field(10.0, gt=0)
    """How long a request waits for the broker's acknowledgement before 503."""


class ShardSettings(_Group):
    """The device engine."""

    count: int = Field(2, ge=1, le=1024)
    """DeviceShard actors; at most one per partition does work."""
    poll_records_max: int = Field(4000, ge=1, le=100_000)
    """Most records of one step."""
    poll_timeout_ms: int = Field(20, ge=1, le=1000)
    """How long a step's records are gathered: half of it is latency, and steps cost CPU."""
    kafka_commit_interval_ms: int = Field(100, ge=1, le=5000)
    """Least time between two Kafka transactions of a shard; each costs the broker 5 to 13 ms."""
    alert_commit_interval_ms: int = Field(100, ge=1, le=5000)
    """Least time between two PostgreSQL commits without alerts; alerts never wait for it."""
    rollup_commit_interval_ms: int = Field(250, ge=1, le=60_000)
    """Least time between two PostgreSQL commits of rollups."""
    commit_backlog_max: int = Field(64, ge=1, le=4096)
    """Batches of effects that may wait for a sink before the shard pauses its partitions."""
    transaction_timeout_ms: int = Field(5000, ge=1000)
    """After this a stopped shard's open Kafka transaction no longer holds up readers."""


class SnapshotSettings(_Group):
    """Recovery state of the shards."""

    folder: Path | None = None
    """Where; None: `snapshots` in the data folder."""
    replay_budget_s: float = Field(2.0, gt=0)
    """Replay a recovery may need; decides how often a snapshot is taken."""
    generations: int = Field(2, ge=2, le=16)
    """Snapshots kept per partition."""


class RaySettings(_Group):
    """The local Ray cluster of `fleetpulse up`."""

    address: str | None = None
    """An existing cluster; None starts one on loopback."""
    num_cpus: int = Field(8, ge=1)
    """Logical CPUs of our own cluster: a placement budget, not cores."""
    object_store_mb: int = Field(128, ge=80)


class ModelSettings(_Group):
    """Where models are found."""

    folder: Path = Path(__file__).resolve().parent.parent / "models" / "registry"
    """One folder per model version: `name@version/{model.onnx,card.yaml,golden.npz}`."""


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        env_prefix="FLEETPULSE_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    data_folder: Path = Path(".fleetpulse")
    """State of a local stack: Kafka log, PostgreSQL, snapshots, logs, secrets."""
    profiles_folder: Path = Path(__file__).resolve().parent.parent / "profiles"
    """YAML profiles that are published at start."""
    default_profile: str = "rotating-machine"
    """The profile of devices that no assignment names."""
    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    http: HttpSettings = HttpSettings()
    shard: ShardSettings = ShardSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    ray: RaySettings = RaySettings()
    model: ModelSettings = ModelSettings()

    @property
    def snapshots(self) -> Path:
        """The snapshot folder."""
        return self.snapshot.folder or self.data_folder / "snapshots"


def load_settings(**overrides: object) -> Settings:
    """Read the environment; raises ConfigError naming the variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic validates them
    except ValidationError as error:
        first = error.errors()[0]
        name = "FLEETPULSE_" + "__".join(str(part).upper() for part in first["loc"])
        raise ConfigError(f"{name}: {first['msg']}") from error
    except SettingsError as error:
        raise ConfigError(f"{error}; set FLEETPULSE_<GROUP>__<FIELD>") from error
