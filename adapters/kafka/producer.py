"""The durable way in: records of requests, acknowledged by every in-sync replica, and ticks."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from adapters.kafka.client import meaning_of, producer_config
from fleetpulse.errors import BrokerUnavailable, FleetpulseError, Overloaded
from fleetpulse.identity import TICK_KEY
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Tick

Record = tuple[bytes, bytes, list[tuple[str, str | bytes | None]]]
"""Key, value, headers."""
Delivered = Callable[[FleetpulseError | None], None]
"""Told once, on the loop: None when all records of a request are durable."""

TICK_INTERVAL_S: Final = 1.0
_FLUSH_S: Final = 0.05
_QUEUE_MB: Final = 256
_log = logging.getLogger(__name__)


class TelemetryProducer:
    """Serves one event loop, which collects the acknowledgements. A thread writes the ticks.

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
        collect_ms: float = 1,
    ) -> None:
        """linger_ms: how long records wait for others of their partition, to share a request.

        collect_ms: how often acknowledgements are collected while records are under way.
        """
        self._collect_s = collect_ms / 1000
        self._topic = settings.topic("telemetry")
        self._partitions = settings.partitions
        self._inflight_max = inflight_records_max
        self._ack_timeout_s = ack_timeout_s
        self._tick = Tick(node_id=node_id).SerializeToString()
        self._config = {
            **producer_config(settings, client_id=f"ingest-{node_id}"),
            "linger.ms": linger_ms,
            "message.timeout.ms": round(ack_timeout_s * 1000),
            # Room for ticks: what is under way is bounded by `send`.
            "queue.buffering.max.messages": inflight_records_max + 10 * settings.partitions,
            "queue.buffering.max.kbytes": _QUEUE_MB * 1024,
        }
        self._producer = Producer(self._config)
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where the next collection is due; None while nothing is under way."""
        self._waiting: deque[_Delivery] = deque()
        """In the order in which their time is over."""
        self._finished: list[_Delivery] = []
        self._polling = Lock()
        """A request's reports come one after the other, whoever polls."""
        self._ending = Event()
        self._thread = Thread(target=self._write_ticks, name="telemetry-ticks", daemon=True)
        self._thread.start()

    def send(self, records: Sequence[Record], then: Delivered) -> None:
        """Produce; `then` is told once. Call it on the loop.

        Raises Overloaded before anything is produced; after BrokerUnavailable some may be in the
        log: sending them again is harmless, a sample has one slot.
        """
        producer = self._producer
        if self._ending.is_set() or len(producer) + len(records) > self._inflight_max:
            raise Overloaded(f"{len(producer)} records wait for the broker")
        loop = asyncio.get_running_loop()
        delivery = _Delivery(then, len(records), loop.time() + self._ack_timeout_s, self._finished)
        produce, topic, report = producer.produce, self._topic, delivery.report
        try:
            for key, value, headers in records:
                produce(topic, value, key, on_delivery=report, headers=headers)
        except BufferError as error:
            raise Overloaded(f"{_QUEUE_MB} MB wait for the broker") from error
        except KafkaException as error:
            raise meaning_of(error, "produce") from error
        self._waiting.append(delivery)
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(self._collect_s, self._collect)

    async def send_many(self, records: Sequence[Record]) -> None:
        """As `send`: returns when all are durable, and raises what `then` would be told."""
        if not records:
            return
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def then(error: FleetpulseError | None) -> None:
            if settled.done():
                return
            if error is None:
                settled.set_result(None)
            else:
                settled.set_exception(error)

        self.send(records, then)
        await settled

    def close(self, timeout_s: float) -> None:
        """Refuse new records, wait for those under way, end the thread. Call it off the loop.

        Whoever waits is told on the loop, if it still runs.
        """
        self._ending.set()
        self._thread.join(timeout_s)
        with self._polling:
            self._producer.flush(max(timeout_s, _FLUSH_S))

    def _poll(self) -> None:
        if self._polling.acquire(blocking=False):
            try:
                self._producer.poll(0)
            finally:
                self._polling.release()

    def _collect(self) -> None:
        """Take the acknowledgements that came, all at once and in the loop's own thread.

        A thread that waits for them would fight with the loop for the interpreter at each one.
        """
        self._poll()
        # Another thread may be adding to them.
        finished = self._finished[:]
        del self._finished[: len(finished)]
        if any(each.error is not None and each.error.fatal() for each in finished):
            self._replace()
        for each in finished:
            each.tell(None if each.error is None else meaning_of(each.error, "produce"))
        assert self._loop is not None
        waiting, now_s = self._waiting, self._loop.time()
        while waiting and (waiting[0].told or waiting[0].until_s < now_s):
            waiting.popleft().tell(
                BrokerUnavailable(f"no acknowledgement within {self._ack_timeout_s:g} s")
            )
        if waiting:
            self._loop.call_later(self._collect_s, self._collect)
        else:
            self._loop = None

    def _replace(self) -> None:
        _log.error("the producer cannot go on and is replaced")
        self._producer.purge()
        self._producer.flush(_FLUSH_S)
        self._producer = Producer(self._config)

    def _write_ticks(self) -> None:
        while not self._ending.is_set():
            try:
                for partition in range(self._partitions):
                    self._producer.produce(self._topic, self._tick, TICK_KEY, partition)
            except (BufferError, KafkaException) as error:
                # Without a broker nothing is accepted either, and log time rightly stands still.
                _log.warning("no tick: %s", error)
            self._ending.wait(TICK_INTERVAL_S)
            # While no request comes, nobody else serves what the client has to say.
            self._poll()


class _Delivery:
    """The records of one request that wait for the broker."""

    __slots__ = ("_finished", "_missing", "_then", "error", "told", "until_s")

    def __init__(
        self, then: Delivered, records: int, until_s: float, finished: "list[_Delivery]"
    ) -> None:
        self.until_s = until_s
        self.error: KafkaError | None = None
        self.told = False
        self._then = then
        self._missing = records
        self._finished = finished

    def report(self, error: KafkaError | None, _: Message) -> None:
        """Once per record, in whichever thread polls."""
        if error is not None:
            self.error = error
        self._missing -= 1
        if not self._missing:
            self._finished.append(self)

    def tell(self, error: FleetpulseError | None) -> None:
        """The first one counts."""
        if not self.told:
            self.told = True
            self._then(error)
