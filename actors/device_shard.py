"""DeviceShard: the Ray actor that hosts the devices of its partitions.

One thread drives incarnations of the loop; Ray's threads answer views and status meanwhile.
"""

import logging
import os
import sys
import time
from threading import Event, Thread
from typing import Any

import ray

from actors.feed import Publish
from actors.live_hub import connect_live_hub
from actors.meter import Meter
from actors.quarantine import Quarantine
from actors.wiring import Incarnation, incarnate
from fleetpulse.errors import Fenced, RetryLater
from fleetpulse.live import DeviceView, LiveUpdate, ShardStatus
from fleetpulse.settings import Settings
from models.onnx_scorer import OnnxScorer

logger = logging.getLogger(__name__)

Handle = Any
"""A Ray actor handle: its methods are made at run time."""
PUBLISH_TIMEOUT_S = 2.0
BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 5.0
STEADY_S = 30.0
"""An incarnation that lived so long owes nothing to the failures before it."""
SWITCH_INTERVAL_S = 0.001
"""Views are answered between the loop's bytecodes: the default of 5 ms would be their latency."""


def shard_name(slot: int) -> str:
    """The Ray name of a shard."""
    return f"shard-{slot}"


class DeviceShard:
    """Owns what the group gives it, and recovers from whatever ends an incarnation."""

    def __init__(self, slot: int, settings: Settings) -> None:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._slot = slot
        self._settings = settings
        self._meter = Meter(shard_name(slot), os.getpid())
        self._quarantine = Quarantine()
        self._scorer = OnnxScorer(settings.model)
        self._incarnation: Incarnation | None = None
        self._stopping = Event()
        self._thread = Thread(target=self._live, name="shard", daemon=True)
        self._thread.start()

    def view(self, key: bytes) -> tuple[bool, DeviceView | None]:
        """Whether the device's partition is here, and the device if it is known."""
        incarnation = self._incarnation
        if incarnation is None:
            return False, None
        return incarnation.loop.view(key)

    def status(self) -> ShardStatus | None:
        """The shard's state; None between two incarnations."""
        incarnation = self._incarnation
        return incarnation.status() if incarnation else None

    def stop(self, timeout_s: float) -> bool:
        """Commit, snapshot, leave the group; True if that was done in time."""
        self._stopping.set()
        incarnation = self._incarnation
        if incarnation is not None:
            incarnation.loop.stop()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _live(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while not self._stopping.is_set():
            begun_s = time.monotonic()
            try:
                self._incarnate()
            except (Fenced, RetryLater) as error:
                logger.warning("%s: begins anew: %s", self._meter.shard, error)
            except Exception:
                logger.exception("%s: begins anew", self._meter.shard)
            if time.monotonic() - begun_s > STEADY_S:
                backoff_s = BACKOFF_MIN_S
            self._stopping.wait(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    def _incarnate(self) -> None:
        incarnation = incarnate(
            self._settings,
            self._slot,
            self._scorer,
            self._meter,
            self._quarantine,
            publisher(),
        )
        self._incarnation = incarnation
        try:
            if self._stopping.is_set():
                incarnation.loop.stop()
            incarnation.loop.run()
        finally:
            self._incarnation = None
            incarnation.close()


def publisher() -> Publish:
    """Publishes to the live hub, wherever it is by now."""

    def publish(update: LiveUpdate) -> frozenset[bytes]:
        hub: Handle = connect_live_hub()
        watched: frozenset[bytes] = ray.get(hub.publish.remote(update), timeout=PUBLISH_TIMEOUT_S)
        return watched

    return publish
