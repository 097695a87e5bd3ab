"""DeviceShard: the Ray actor that hosts the devices of its partitions.

One thread drives incarnations of the loop; Ray's threads answer views and status meanwhile. Until
`begin` it is a spare: all is imported and every model is open, but it is in no group.
"""

import faulthandler
import gc
import logging
import os
import sys
import time
from collections.abc import Callable
from threading import Event, Thread

import ray

from actors.door import Answer, Door, DoorAddress
from actors.hub_client import HubCaller
from actors.live_hub import connect_live_hub
from actors.memory import keep_memory
from actors.meter import Meter
from actors.quarantine import Quarantine
from actors.wiring import Incarnation, incarnate
from fleetpulse.errors import Fenced, RetryLater
from fleetpulse.live import LiveUpdate, LiveWish, ShardStatus
from fleetpulse.settings import Settings
from models.onnx_scorer import OnnxScorer

logger = logging.getLogger(__name__)

PUBLISH_TIMEOUT_S = 2.0
BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 5.0
STEADY_S = 30.0
"""An incarnation that lived so long owes nothing to the failures before it."""
SWITCH_INTERVAL_S = 0.001
"""Views are answered between the loop's bytecodes: the default of 5 ms would be their latency."""


def shard_name(slot: int) -> str:
    """What people call the shard of a slot, whichever process that is."""
    return f"shard-{slot}"


class DeviceShard:
    """Owns what the group gives it, and recovers from whatever ends an incarnation."""

    def __init__(self, settings: Settings) -> None:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
        faulthandler.enable()  # a crash in native code says where, in the worker's log
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._settings = settings
        self._quarantine = Quarantine()
        self._scorer = OnnxScorer(settings.model)
        self._scorer.open_all()
        self._incarnation: Incarnation | None = None
        self._stopping = Event()
        host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        self._door = Door(host, self._view)
        self._thread: Thread | None = None
        keep_memory()

    def begin(self, slot: int) -> None:
        """Take a slot's place in the group; once. A slot has one living shard at a time."""
        if self._thread is not None:
            return
        name = shard_name(slot)
        self._thread = Thread(
            target=self._live, args=(slot, Meter(name, os.getpid())), name=name, daemon=True
        )
        self._thread.start()

    def watch(self, timeout_s: float) -> None:
        """Returns after that time; whoever waits learns at once when the process ends."""
        self._stopping.wait(timeout_s)

    def door(self) -> DoorAddress:
        """Where device handles ask for their devices."""
        return self._door.address

    def status(self) -> ShardStatus | None:
        """The shard's state; None between two incarnations, and of a spare."""
        incarnation = self._incarnation
        return incarnation.status() if incarnation else None

    def stop(self, timeout_s: float) -> bool:
        """Commit, snapshot, leave the group; True if that was done in time."""
        self._stopping.set()
        incarnation = self._incarnation
        if incarnation is not None:
            incarnation.loop.stop()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _view(self, key: bytes) -> Answer:
        incarnation = self._incarnation
        return incarnation.loop.view(key) if incarnation else (False, None)

    def _live(self, slot: int, meter: Meter) -> None:
        backoff_s = BACKOFF_MIN_S
        while not self._stopping.is_set():
            begun_s = time.monotonic()
            try:
                self._incarnate(slot, meter)
            except (Fenced, RetryLater) as error:
                logger.warning("%s: begins anew: %s", meter.shard, error)
            except Exception:
                logger.exception("%s: begins anew", meter.shard)
            gc.collect()  # an incarnation is a cycle, which nothing else would look for any more
            if time.monotonic() - begun_s > STEADY_S:
                backoff_s = BACKOFF_MIN_S
            self._stopping.wait(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    def _incarnate(self, slot: int, meter: Meter) -> None:
        publish = Publisher()
        incarnation = incarnate(
            self._settings, slot, self._scorer, meter, self._quarantine, publish
        )
        self._incarnation = incarnation
        try:
            if self._stopping.is_set():
                incarnation.loop.stop()
            incarnation.loop.run()
        finally:
            self._incarnation = None
            incarnation.close()
            publish.close()


def hub_address() -> DoorAddress:
    """Where the live hub's door is. Raises ValueError while there is no hub."""
    address: DoorAddress = ray.get(connect_live_hub().door.remote(), timeout=PUBLISH_TIMEOUT_S)
    return address


class Publisher:
    """Publishes to the live hub. Finds it once, and again after a failure: it may be another."""

    def __init__(self, find: Callable[[], DoorAddress] = hub_address) -> None:
        self._find = find
        self._hub: HubCaller | None = None

    def __call__(self, update: LiveUpdate) -> LiveWish:
        """What the hub wants from now on."""
        if self._hub is None:
            self._hub = HubCaller(self._find(), PUBLISH_TIMEOUT_S)
        try:
            wish: LiveWish = self._hub.call("publish", update)
        except Exception:
            self.close()
            raise
        return wish

    def close(self) -> None:
        """Hang up; the next call finds the hub anew."""
        hub, self._hub = self._hub, None
        if hub is not None:
            hub.close()
