"""What can go wrong, by what the caller should do about it.

FleetpulseError
├── RetryLater            try the same again after `retry_after_s`
│   ├── BrokerUnavailable
│   ├── DatabaseUnavailable
│   ├── ProofOutdated     after the reader's next poll, not before
│   └── Overloaded
├── Refused               the input is wrong; trying it again cannot help
│   ├── InputError        names the field (HTTP 4xx)
│   └── ConfigError       names the setting, profile or file
├── DamagedState          stored bytes are missing or altered: an older generation may be whole
├── Fenced                another owner holds the partition: drop its state and claim again
├── PartitionStopped      continuing would skip data silently: a person must apply the remedy
└── SetupError            this machine lacks something: `remedy` says what to do
"""


class FleetpulseError(Exception):
    """Base of every error that Fleetpulse raises on purpose."""


class RetryLater(FleetpulseError):
    """A dependency is away or a bound is reached; the same call may succeed later."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BrokerUnavailable(RetryLater):
    """Kafka did not answer or did not acknowledge in time."""


class DatabaseUnavailable(RetryLater):
    """PostgreSQL did not answer in time or closed the connection."""


class ProofOutdated(RetryLater):
    """The group has moved on since ownership was proved; a poll brings a new proof, if any."""


class Overloaded(RetryLater):
    """A queue of ours is at its bound."""


class DamagedState(FleetpulseError):
    """What is stored is not what was written."""


class Refused(FleetpulseError):
    """The request or the configuration is wrong; repeating it cannot help."""


class InputError(Refused):
    """A request that the API answers with `status`, naming `field`.

    index: which record of the request, if it has several.
    """

    def __init__(
        self, field: str, reason: str, *, status: int = 422, index: int | None = None
    ) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.status = status
        self.index = index
        self.key = b""
        """Record key of the device whose record it is, once that is known."""


class ConfigError(Refused):
    """A setting, profile or model card that cannot be used."""


class Fenced(FleetpulseError):
    """A write was refused because another shard owns the partition."""

    def __init__(self, message: str, *, partitions: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.partitions = partitions


class PartitionStopped(FleetpulseError):
    """The partition cannot continue without losing data; `remedy` is what a person can do."""

    def __init__(self, partition: int, cause: str, *, remedy: str) -> None:
        super().__init__(f"partition {partition} stopped: {cause}; {remedy}")
        self.partition = partition
        self.cause = cause
        self.remedy = remedy


class SetupError(FleetpulseError):
    """Something this machine lacks; the message is one line that ends with the remedy."""

    def __init__(self, cause: str, *, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.cause = cause
        self.remedy = remedy
