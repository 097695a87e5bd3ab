"""Configurations of librdkafka. Each line that differs from its defaults says why."""

import logging
import os
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from fleetpulse.errors import BrokerUnavailable, ConfigError, FleetpulseError
from fleetpulse.settings import KafkaSettings

RECORD_BYTES_MAX: Final = 1_048_588
"""Largest record of the telemetry topic (the broker's default)."""
REJECTED_BYTES_MAX: Final = RECORD_BYTES_MAX + 65_536
"""Of the dead and late topics: the largest record must fit with the reason around it."""
REQUEST_TIMEOUT_S: Final = 10.0
"""Of a whole operation, tried again within it."""
ANSWER_TIMEOUT_MS: Final = 5000
"""Of one broker's answer: longer than a fail-over, during which the living ones wait too."""
FETCH_BYTES_MIN: Final = 100_000
"""A member's fetch waits for so much, if it waits."""
SCHEMA_VERSION: Final = b"1"

_log = logging.getLogger("fleetpulse.kafka")
_REFUSED: Final = {
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError._SSL,
}


def connection_config(settings: KafkaSettings, *, client_id: str) -> dict[str, Any]:
    """What every client shares: address, credentials, timeouts.

    Raises ConfigError for credentials that are missing or files that cannot be read.
    """
    _check(settings)
    password = settings.sasl_password
    optional = {
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.sasl_username,
        "sasl.password": password.get_secret_value() if password else None,
        "ssl.ca.location": settings.ssl_ca_location,
        "ssl.certificate.location": settings.ssl_certificate_location,
        "ssl.key.location": settings.ssl_key_location,
    }
    return {
        "bootstrap.servers": settings.servers,
        "client.id": client_id,
        "security.protocol": settings.security_protocol,
        **{key: str(value) for key, value in optional.items() if value is not None},
        "socket.keepalive.enable": True,
        # A broker that restarted is tried again within a second, not ten.
        "reconnect.backoff.max.ms": 1000,
        # One that hangs keeps its connections open: the default waits a minute for its answer
        # before it asks who leads now.
        "socket.timeout.ms": ANSWER_TIMEOUT_MS,
        "socket.connection.setup.timeout.ms": ANSWER_TIMEOUT_MS,
        "api.version.request.timeout.ms": ANSWER_TIMEOUT_MS,
        "logger": _log,
    }


def _check(settings: KafkaSettings) -> None:
    if settings.security_protocol.startswith("SASL"):
        for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
            if getattr(settings, name) is None:
                raise ConfigError(
                    f"FLEETPULSE_KAFKA__{name.upper()}: {settings.security_protocol} needs it"
                )
    for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"):
        path: Path | None = getattr(settings, name)
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigError(f"FLEETPULSE_KAFKA__{name.upper()}: {path} cannot be read")


def consumer_config(settings: KafkaSettings, *, client_id: str, group: str) -> dict[str, Any]:
    """A reader that starts only where it is told and never commits by itself."""
    return {
        **connection_config(settings, client_id=client_id),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # An offset that the log does not have is an error: going on elsewhere would skip silently.
        "auto.offset.reset": "error",
        # The default of 1000 starves a fast reader whenever its queue was full.
        "fetch.queue.backoff.ms": 5,
    }


def member_config(settings: KafkaSettings, *, client_id: str, group: str) -> dict[str, Any]:
    """A member of a group whose partitions the broker assigns (KIP-848)."""
    return {
        **consumer_config(settings, client_id=client_id, group=group),
        "group.protocol": "consumer",
        **_gathering(settings.fetch_wait_ms),
        # A member whose loop hangs for a minute gives its partitions up.
        "max.poll.interval.ms": 60_000,
    }


def _gathering(wait_ms: int) -> dict[str, Any]:
    """Under load a broker that answers a fetch at once answers far more of them, each of which
    costs it and us more than the records that it carries.
    """
    if not wait_ms:
        return {}
    return {"fetch.min.bytes": FETCH_BYTES_MIN, "fetch.wait.max.ms": wait_ms}


def producer_config(settings: KafkaSettings, *, client_id: str) -> dict[str, Any]:
    """A producer whose acknowledged records are on every in-sync replica, once, in order."""
    return {
        **connection_config(settings, client_id=client_id),
        "acks": "all",
        "enable.idempotence": True,
        # Java's hash: every producer of any language finds a device's partition.
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        # As for other requests; the default is half a minute.
        "request.timeout.ms": ANSWER_TIMEOUT_MS,
        # Transactions back to back meet CONCURRENT_TRANSACTIONS: 100 ms (the default) each time.
        "retry.backoff.ms": 5,
    }


def meaning_of(error: KafkaException | KafkaError, action: str) -> FleetpulseError:
    """ConfigError for what no repetition can help, else BrokerUnavailable."""
    cause = error.args[0] if isinstance(error, KafkaException) else error
    if isinstance(cause, KafkaError) and cause.code() in _REFUSED:
        return ConfigError(f"kafka: {action}: {cause.str()}")
    text = cause.str() if isinstance(cause, KafkaError) else str(cause)
    return BrokerUnavailable(f"kafka: {action}: {text}")
