"""An admin client that knows why it gets no answer.

librdkafka tries again for ever when brokers refuse a client: its calls only say that time ran
out. The reason comes beside them.
"""

import re
import time
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from adapters.kafka.client import connection_config, meaning_of
from fleetpulse.errors import BrokerUnavailable, ConfigError
from fleetpulse.settings import KafkaSettings

_LISTEN_S: Final = 0.05
_LOG_CRITICAL: Final = 2
# What librdkafka says -> the setting that is wrong.
_SETTING_OF: Final = (
    ("mechanism handshake failed", "SASL_MECHANISM"),
    ("SASL authentication error", "SASL_USERNAME, FLEETPULSE_KAFKA__SASL_PASSWORD"),
    ("certificate verify failed", "SSL_CA_LOCATION"),
    ("SSL alert", "SSL_CERTIFICATE_LOCATION"),
    ("SSL handshake failed", "SECURITY_PROTOCOL"),
    ("ssl.ca.location failed", "SSL_CA_LOCATION"),
    ("ssl.certificate.location failed", "SSL_CERTIFICATE_LOCATION"),
    ("ssl.key.location failed", "SSL_KEY_LOCATION"),
)
_NOISE: Final = re.compile(r"^\w+://\S+: |error:[0-9A-F]+:[\w/ ]+::| \(.*\)$")


class _Reasons:
    """What librdkafka reports beside its answers.

    An object of its own: a client that held its owner would be closed only by the collector.
    """

    def __init__(self, over: str) -> None:
        self.refusal: ConfigError | None = None
        self.all_down = False
        self._over = over

    def forget(self) -> None:
        self.refusal, self.all_down = None, False

    def note(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.all_down = True
        else:
            self.refusal = self.refused(error.str()) or self.refusal

    def refused(self, said: str) -> ConfigError | None:
        for words, setting in _SETTING_OF:
            if words in said:
                reason = _NOISE.sub("", said)
                return ConfigError(f"FLEETPULSE_KAFKA__{setting}: {self._over}: {reason}")
        return None


class AdminConnection:
    """`client` sends requests, `answer` awaits their results. Used from one thread."""

    def __init__(self, settings: KafkaSettings, *, client_id: str, timeout_s: float) -> None:
        self._over = f"{settings.servers} over {settings.security_protocol}"
        self._timeout_s = timeout_s
        self._reasons = _Reasons(self._over)
        config = connection_config(settings, client_id=client_id)
        # Errors are raised here; log lines beside them would say the same.
        config |= {"error_cb": self._reasons.note, "log_level": _LOG_CRITICAL}
        try:
            self.client = AdminClient(config)
        except KafkaException as error:
            raise self._reasons.refused(error.args[0].str()) or meaning_of(
                error, "connect"
            ) from error

    def answer(self, future: "Future[Any]", action: str, *, ignore: int | None = None) -> Any:
        """The result, True for an empty one, None for the ignored error.

        Raises ConfigError as soon as brokers refuse us and none is left to try.
        """
        self.client.poll(0)  # an earlier call's reasons
        self._reasons.forget()
        deadline = time.monotonic() + self._timeout_s + 1
        while True:
            try:
                result = future.result(_LISTEN_S)
            except KafkaException as error:
                if error.args[0].code() == ignore:
                    return None
                if error.args[0].code() == KafkaError._TIMED_OUT:
                    raise self._silence(action) from error
                raise meaning_of(error, action) from error
            except TimeoutError as error:
                self.client.poll(0)
                if self._reasons.all_down and self._reasons.refusal is not None:
                    raise self._reasons.refusal from error
                if time.monotonic() > deadline:
                    raise self._silence(action) from error
            else:
                return True if result is None else result

    def _silence(self, action: str) -> ConfigError | BrokerUnavailable:
        self.client.poll(0)
        return self._reasons.refusal or BrokerUnavailable(
            f"kafka: {action}: no answer from {self._over} in time"
        )
