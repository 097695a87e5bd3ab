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
    port: int = Field(19092, ge=1024, le=65525)
    """Of our own broker; its controller listens on the next port, then the next broker."""
    brokers: int = Field(1, ge=1, le=5)
    """Of our own: with three, any one may be lost. Fixed when the data folder is made."""
    fetch_wait_ms: int = Field(10, ge=0, le=1000)
    """How long brokers gather what a shard fetches. It costs 1000 / this requests a second and
    shard even when nothing comes; 0: they answer each record at once.
    """
    heap_mb: int = Field(384, ge=128)
    """Java heap of each broker of our own."""
    topic_prefix: str = ""
    """Put before every topic, group and transactional id: several fleets on one cluster."""
    partitions: int = Field(4, ge=1, le=1024)
    """Of the telemetry topic; fixed at creation. Shards beyond them do nothing, so there should be
    twice as many as shards; each costs requests of whoever produces, whatever is in them.
    """
    replication: int | None = Field(None, ge=1, le=5)
    """Replicas of each topic; None: what the brokers are set to, all of our own."""
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
    def ports(self) -> range:
        """Of our own brokers."""
        return range(self.port, self.port + 2 * self.brokers, 2)

    @property
    def servers(self) -> str:
        """What a client connects to."""
        return self.bootstrap or ",".join(f"127.0.0.1:{port}" for port in self.ports)

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
    """DeviceShard actors at the start; at most one per partition does work."""
    spare: bool = True
    """Keep one more ready, outside the group: it replaces a shard that dies at once."""
    poll_records_max: int = Field(2000, ge=1, le=100_000)
    """Records of one step, of any size: so many frames stay in a core's caches between passes."""
    poll_bytes_max: int = Field(1_000_000, ge=0)
    """Small records may be more per step: up to so many bytes of keys and values, or 100,000."""
    poll_timeout_ms: int = Field(20, ge=1, le=1000)
    """How long a shard waits for a record before it looks at its other duties."""
    kafka_commit_interval_ms: int = Field(100, ge=1, le=5000)
    """Least time between two Kafka transactions of a shard; each costs the broker 5 to 13 ms."""
    alert_commit_interval_ms: int = Field(100, ge=1, le=5000)
    """Least time between two PostgreSQL commits without alerts; alerts never wait for it."""
    rollup_commit_interval_ms: int = Field(250, ge=1, le=60_000)
    """Least time between two PostgreSQL commits of rollups."""
    commit_backlog_max: int = Field(64, ge=1, le=4096)
    """Batches of effects that may wait for a sink before the shard pauses its partitions."""
    stale_after_s: float = Field(300.0, gt=0)
    """Alerts whose event time is older when they are published are shown and call nobody."""
    device_memory_mb: int = Field(1024, ge=1)
    """Memory of a shard for device states; beyond it the longest silent devices become passive."""
    passivate_after_s: float = Field(900.0, gt=0)
    """Log time without a record after which a device becomes passive."""
    effects: Literal["exactly-once", "at-least-once"] = "exactly-once"
    """at-least-once: no Kafka transactions; a crash repeats results there. To measure the price."""
    transaction_timeout_ms: int = Field(4500, ge=1000)
    """After this a stopped shard's open Kafka transaction no longer holds up readers."""
    trace_folder: Path | None = None
    """Where shards note when sampled results passed each stage, to measure; None: nowhere."""


class RetentionSettings(_Group):
    """How long the database keeps rows, by event time; 0 keeps them for good."""

    minute_days: float = Field(90.0, ge=0)
    """Rollups by minute; they leave by the day."""
    hour_days: float = Field(730.0, ge=0)
    """Rollups by hour; they leave by the month."""
    day_days: float = Field(0.0, ge=0)
    """Rollups by day; they leave by the year."""
    alert_days: float = Field(730.0, ge=0)
    """Alerts, by the month in which they were raised; open ones hold their month."""
    session_days: float = Field(730.0, ge=0)
    """Sessions, by the month in which they started; running ones hold their month."""
    ahead: int = Field(2, ge=0, le=60)
    """Partitions of each table that are made before their time comes."""
    interval_s: float = Field(300.0, ge=1)
    """Time between two looks of a shard at the partitions."""


class RecomputeSettings(_Group):
    """Corrections of what is past."""

    workers: int = Field(1, ge=0, le=64)
    """Computations at a time, each a Ray task; 0: marks wait."""
    delay_s: float = Field(5.0, ge=0)
    """How long a device's marks gather before they are computed together."""
    lease_s: float = Field(30.0, gt=0)
    """A worker that is not heard of for so long loses its jobs to another."""
    devices_max: int = Field(32, ge=1, le=1000)
    """Devices of one partition that are computed in one reading of the log."""


class SnapshotSettings(_Group):
    """Recovery state of the shards."""

    folder: Path | None = None
    """Where; None: `snapshots` in the data folder."""
    uri: str | None = None
    """s3://bucket/prefix instead of a folder; credentials come from AWS_ACCESS_KEY_ID and so on."""
    endpoint: str | None = None
    """http://host:port of an S3 service other than Amazon's."""
    replay_budget_s: float = Field(2.0, gt=0)
    """Replay a recovery may need; decides how often a snapshot is taken."""
    generations: int = Field(2, ge=2, le=16)
    """Snapshots kept per partition."""


class RaySettings(_Group):
    """The local Ray cluster of `fleetpulse up`."""

    address: str | None = None
    """An existing cluster; None starts one on loopback."""
    num_cpus: int = Field(16, ge=1)
    """Logical CPUs of our own cluster: a placement budget, not cores."""
    object_store_mb: int = Field(128, ge=80)
    standby: bool = True
    """Keep a process (250 MB) that starts Ray at once when its node is lost: it saves 5 CPU s."""


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
    recompute: RecomputeSettings = RecomputeSettings()
    retention: RetentionSettings = RetentionSettings()
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
