"""FleetpulseCluster: what a person declares and what the operator answers.

kopf has no conversion webhooks, so fields may be added here, never renamed or removed.
"""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "fleetpulse.io"
VERSION = "v1alpha1"
KIND = "FleetpulseCluster"


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True
    )


class KafkaSpec(_Part):
    """The log that the cluster reads."""

    bootstrap: str = Field(min_length=1, description="host:port[,host:port]")
    topic_prefix: str = Field("", description="Put before every topic, group and transactional id")
    credentials_secret: str = Field("", description="Secret with sasl-username and sasl-password")


class PostgresSpec(_Part):
    """The database that the cluster writes."""

    dsn_secret: str = Field(min_length=1, description="Secret whose key `dsn` is a connection URI")


class ScalingSpec(_Part):
    """Bounds and aims of the autoscaler."""

    min_shards: int = Field(1, ge=1, le=1024)
    max_shards: int = Field(4, ge=1, le=1024, description="More than partitions do no work")
    target_utilization: float = Field(0.7, ge=0.1, le=1, description="Busy share of a shard")
    catch_up_seconds: int = Field(120, ge=1, description="Time in which lag is to be worked off")
    dry_run: bool = Field(default=False, description="Explain decisions, change nothing")


class FleetpulseClusterSpec(_Part):
    """The declared cluster."""

    image: str = Field(min_length=1)
    kafka: KafkaSpec
    postgres: PostgresSpec
    scaling: ScalingSpec = ScalingSpec()


class FleetpulseClusterStatus(_Part):
    """The operator's last answer."""

    observed_generation: int = Field(0, ge=0)
    shards: int = Field(0, ge=0)
    decision: str = Field("", description="Why the number of shards is what it is")
