"""Writes frames straight into the telemetry topic, with the ticks of whoever accepts data."""

import asyncio
import threading
import time
from concurrent.futures import Future
from typing import Final

from adapters.kafka.producer import Record, TelemetryProducer
from fleetpulse.errors import RetryLater
from fleetpulse.settings import KafkaSettings
from simulator.framing import Frames
from simulator.tally import Tally

CALLS_MAX: Final = 64
"""Calls of `send` whose frames are under way; beyond it `send` blocks."""
GIVE_UP_S: Final = 30.0
"""Frames that are not acknowledged within this time failed."""
_INFLIGHT_RECORDS_MAX: Final = 100_000
_ACK_TIMEOUT_S: Final = 10.0
_RETRY_S: Final = 0.2
LINGER_MS: Final = 10
"""As a gateway of many devices would: thousands of frames a second share requests."""
_COLLECT_MS: Final = 5
"""Nobody waits for a frame's acknowledgement, and each look takes CPU from what is measured."""


class KafkaTarget:
    """An event loop in a thread of its own waits for the acknowledgements."""

    def __init__(self, settings: KafkaSettings, *, frame_samples: int) -> None:
        self.tally = Tally()
        self._frame_samples = frame_samples
        self._slots = threading.BoundedSemaphore(CALLS_MAX)
        self._producer = TelemetryProducer(
            settings,
            node_id="simulator",
            inflight_records_max=_INFLIGHT_RECORDS_MAX,
            ack_timeout_s=_ACK_TIMEOUT_S,
            linger_ms=LINGER_MS,
            collect_ms=_COLLECT_MS,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kafka-target")
        self._thread.daemon = True
        self._thread.start()

    def send(self, frames: Frames) -> None:
        """Hand frames over in order; blocks while too many calls are under way."""
        samples = len(frames) * self._frame_samples
        self.tally.add_sent(samples)
        if not self._slots.acquire(timeout=GIVE_UP_S):
            self.tally.add_failed(samples, "the broker does not keep up")
            return
        records: list[Record] = [
            (key, value, []) for key, value in zip(frames.keys, frames.values, strict=True)
        ]
        future = asyncio.run_coroutine_threadsafe(self._deliver(records, samples), self._loop)
        future.add_done_callback(self._release)

    def close(self, timeout_s: float) -> None:
        """Wait for acknowledgements, then end the threads."""
        deadline = time.monotonic() + timeout_s
        waiting = CALLS_MAX
        while waiting and self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
            waiting -= 1
        self._producer.close(max(0.0, deadline - time.monotonic()))
        self.tally.settle()
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(1.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _release(self, _: Future[None]) -> None:
        self._slots.release()

    async def _deliver(self, records: list[Record], samples: int) -> None:
        begun = time.monotonic()
        try:
            await self._until_durable(records, begun + GIVE_UP_S)
        except RetryLater as error:
            self.tally.add_failed(samples, str(error))
        else:
            self.tally.add_accepted(samples, time.monotonic() - begun)

    async def _until_durable(self, records: list[Record], deadline: float) -> None:
        while True:
            try:
                return await self._producer.send_many(records)
            except RetryLater:
                if time.monotonic() > deadline:
                    raise
                self.tally.add_retry()
            await asyncio.sleep(_RETRY_S)


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
