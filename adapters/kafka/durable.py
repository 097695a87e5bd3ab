"""A few records at a time, each acknowledged before the call returns."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from adapters.kafka.client import meaning_of, producer_config
from adapters.kafka.stale_header import Headers
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.settings import KafkaSettings

BY_KEY: Final = -1


@dataclass(frozen=True, slots=True)
class DurableRecord:
    """What is written. partition: BY_KEY lets the key decide."""

    topic: str
    key: bytes | None
    value: bytes
    partition: int = BY_KEY
    headers: Headers | None = None


class DurableWriter:
    """Writes and waits. Used from one thread."""

    def __init__(self, settings: KafkaSettings, *, client_id: str) -> None:
        self._producer = Producer(producer_config(settings, client_id=client_id))

    def write(self, records: Sequence[DurableRecord], *, timeout_s: float) -> None:
        """Repeat each record until it is acknowledged; BrokerUnavailable when that takes longer.

        A record may be in the log twice after that, never missing.
        """
        deadline = time.monotonic() + timeout_s
        missing = list(records)
        while missing:
            failed: list[tuple[DurableRecord, KafkaError]] = []
            for record in missing:
                self._produce(record, failed)
            if self._producer.flush(max(deadline - time.monotonic(), 0.1)):
                self._producer.purge()
                self._producer.flush(1.0)
                raise BrokerUnavailable(f"kafka: {len(missing)} records are not acknowledged")
            if failed and (not failed[0][1].retriable() or time.monotonic() > deadline):
                raise meaning_of(failed[0][1], "produce")
            missing = [record for record, _ in failed]

    def _produce(
        self, record: DurableRecord, failed: list[tuple[DurableRecord, KafkaError]]
    ) -> None:
        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append((record, error))

        try:
            self._producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                on_delivery=delivered,
                headers=record.headers,
            )
        except KafkaException as error:
            raise meaning_of(error, "produce") from error
