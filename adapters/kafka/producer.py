"""The durable way in: records of requests, acknowledged by every in-sync replica, and ticks."""

import asyncio
import logging
import time
from collections.abc import Sequence
from threading import Event, Thread
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from adapters.kafka.client import meaning_of, producer_config
from fleetpulse.errors import BrokerUnavailable, Overloaded
from fleetpulse.identity import TICK_KEY
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Tick

Record = tuple[bytes, bytes, list[tuple[str, str | bytes | None]]]
"""Key, value, headers."""

TICK_INTERVAL_S: Final = 1.0
_SERVE_S: Final = 0.05
_QUEUE_MB: Final = 256
_log = logging.getLogger(__name__)


class TelemetryProducer:
    """Serves one event loop. A thread takes acknowledgements and writes the ticks.

    While it is open it ticks once a second in every partition, so log time passes in silence.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        node_id: str,
        inflight_records_max: int,
        ack_timeout_s: float,
        linger_ms: float = 2,
    ) -> None:
        """linger_ms: how long records wait for others of their partition, to share a request."""
        self._topic = settings.topic("telemetry")
        self._partitions = settings.partitions
        self._inflight_max = inflight_records_max
        self._ack_timeout_s = ack_timeout_s
        self._tick = Tick(node_id=node_id).SerializeToString()
        self._config = {
            **producer_config(settings, client_id=f"ingest-{node_id}"),
            "linger.ms": linger_ms,
            "message.timeout.ms": round(ack_timeout_s * 1000),
            # Room for ticks: what is under way is bounded by send_many.
            "queue.buffering.max.messages": inflight_records_max + 10 * settings.partitions,
            "queue.buffering.max.kbytes": _QUEUE_MB * 1024,
        }
        self._producer = Producer(self._config)
        self._finished: list[_Delivery] = []
        self._ending = Event()
        self._thread = Thread(target=self._serve, name="telemetry-producer", daemon=True)
        self._thread.start()

    async def send_many(self, records: Sequence[Record]) -> None:
        """Return when all are durable.

        Raises Overloaded before anything is produced; after BrokerUnavailable some may be in the
        log: sending them again is harmless, a sample has one slot.
        """
        if self._ending.is_set() or len(self._producer) + len(records) > self._inflight_max:
            raise Overloaded(f"{len(self._producer)} records wait for the broker")
        if not records:
            return
        delivery = _Delivery(len(records), self._finished)
        produce, topic, delivered = self._producer.produce, self._topic, delivery.delivered
        try:
            for key, value, headers in records:
                produce(topic, value, key, on_delivery=delivered, headers=headers)
        except BufferError as error:
            raise Overloaded(f"{_QUEUE_MB} MB wait for the broker") from error
        except KafkaException as error:
            raise meaning_of(error, "produce") from error
        try:
            await asyncio.wait_for(delivery.settled, self._ack_timeout_s)
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"no acknowledgement within {self._ack_timeout_s:g} s"
            ) from error

    def close(self, timeout_s: float) -> None:
        """Refuse new records, wait for those under way, end the thread. Call it off the loop."""
        self._ending.set()
        self._thread.join(timeout_s)
        self._producer.flush(max(timeout_s, _SERVE_S))
        self._settle()

    def _serve(self) -> None:
        next_tick_s = time.monotonic()
        while not self._ending.is_set():
            self._producer.poll(_SERVE_S)
            self._settle()
            if time.monotonic() >= next_tick_s:
                next_tick_s = time.monotonic() + TICK_INTERVAL_S
                self._write_ticks()

    def _settle(self) -> None:
        """Hand what finished to its loop: one wake-up for all, not one per record."""
        if not self._finished:
            return
        finished = self._finished[:]
        del self._finished[: len(finished)]
        if any(each.error is not None and each.error.fatal() for each in finished):
            _log.error("the producer cannot go on and is replaced")
            self._producer.purge()
            self._producer.flush(_SERVE_S)
            self._producer = Producer(self._config)
        try:
            finished[0].loop.call_soon_threadsafe(_resolve, finished)
        except RuntimeError:
            _log.warning("%d requests ended before their acknowledgement", len(finished))

    def _write_ticks(self) -> None:
        try:
            for partition in range(self._partitions):
                self._producer.produce(self._topic, self._tick, TICK_KEY, partition)
        except (BufferError, KafkaException) as error:
            # Without a broker nothing is accepted either, and log time rightly stands still.
            _log.warning("no tick: %s", error)


class _Delivery:
    """The records of one request that wait for the broker."""

    __slots__ = ("_finished", "_missing", "error", "loop", "settled")

    def __init__(self, records: int, finished: "list[_Delivery]") -> None:
        self.loop = asyncio.get_running_loop()
        self.settled: asyncio.Future[None] = self.loop.create_future()
        self.error: KafkaError | None = None
        self._missing = records
        self._finished = finished

    def delivered(self, error: KafkaError | None, _: Message) -> None:
        """In the producer's thread, once per record."""
        if error is not None:
            self.error = error
        self._missing -= 1
        if not self._missing:
            self._finished.append(self)


def _resolve(finished: list[_Delivery]) -> None:
    for each in finished:
        if each.settled.done():
            continue
        if each.error is None:
            each.settled.set_result(None)
        else:
            each.settled.set_exception(meaning_of(each.error, "produce"))
