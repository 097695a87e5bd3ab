"""The live hub: one named actor between shards, which push, and query replicas, which poll.

Everything in it is bounded. A slow reader loses its oldest live samples and is told how many;
alerts and events are kept by number, so that a reader asks again from the last one it has.
"""

import asyncio
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import ray

from actors.door import DoorAddress
from actors.hub_door import HubDoor
from actors.live_fleet import FleetSummary, FleetTable, LiveFleet
from fleetpulse.effects import AlertEvent, DeviceEvent
from fleetpulse.live import LiveSamples, LiveScore, LiveUpdate, LiveWish

HUB_NAME: Final = "live-hub"
NAMESPACE: Final = "fleetpulse"
ALERTS_MAX: Final = 10_000
LIVE_MAX: Final = 1_000
"""Chunks of samples and scores that wait for one reader."""
WATCHED_MAX: Final = 256
"""Devices that one reader may watch at a time."""
LEASE_S: Final = 10.0
"""A reader that does not poll for so long is forgotten with its watches."""
POLL_MAX_S: Final = 5.0
PICTURE_IDLE_S: Final = 1.0
PICTURE_LOOKED_AT_S: Final = 0.2
"""Periods of the shards' pictures while nobody looks, and while somebody does."""
LOOK_S: Final = 3.0
"""Whoever asked for the fleet within this time is looking at it: sockets ask once a second."""


LiveChunk = LiveSamples | LiveScore


@dataclass(frozen=True, slots=True)
class NumberedAlert:
    """An alert event and its number in this hub's life. stale: it calls nobody."""

    number: int
    event: AlertEvent
    stale: bool


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """A device event; alerts and events are numbered together."""

    number: int
    event: DeviceEvent


@dataclass(frozen=True, slots=True)
class LivePage:
    """What a poll answers.

    hub: changes when the hub restarts; numbers start anew then. next_number: for the next poll.
    missed_alerts: some before the first one here are gone, read them from the database.
    dropped: chunks that this reader was too slow for.
    """

    hub: str
    next_number: int
    alerts: list[NumberedAlert]
    events: list[NumberedEvent]
    missed_alerts: bool
    live: list[LiveChunk]
    dropped: int


@dataclass(slots=True)
class _Reader:
    watching: frozenset[bytes] = frozenset()
    live: deque[LiveChunk] = field(default_factory=deque)
    dropped: int = 0
    expires_s: float = 0.0

    def offer(self, chunk: LiveChunk) -> None:
        if len(self.live) >= LIVE_MAX:
            self.live.popleft()
            self.dropped += 1
        self.live.append(chunk)


class LiveHub:
    """Runs in one event loop; no call waits for another reader or shard."""

    def __init__(self, host: str | None = None) -> None:
        """host: where its door listens; None: on the address of this Ray node."""
        self._host = host
        self._door = HubDoor({"publish": self.publish, "poll": self.poll})
        self._id = uuid.uuid4().hex
        self._fleet = LiveFleet()
        self._kept: deque[NumberedAlert | NumberedEvent] = deque(maxlen=ALERTS_MAX)
        self._next_number = 1
        self._readers: dict[str, _Reader] = {}
        self._news = asyncio.Event()
        self._looked_s = -LOOK_S

    async def door(self) -> DoorAddress:
        """Where `publish` and `poll` are called: see actors/hub_door.py."""
        host: str = self._host or ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return await self._door.open(host)

    async def close(self) -> None:
        """Hang up on everybody."""
        await self._door.close()

    async def publish(self, update: LiveUpdate) -> LiveWish:
        """Take a shard's push; answers what is wanted of it."""
        self._fleet.take(update)
        for alert in update.alerts:
            self._kept.append(NumberedAlert(self._next_number, alert.event, alert.stale))
            self._next_number += 1
        for event in update.events:
            self._kept.append(NumberedEvent(self._next_number, event))
            self._next_number += 1
        chunks: list[LiveChunk] = [*update.samples, *update.scores]
        for chunk in chunks:
            for reader in self._readers.values():
                if chunk.device in reader.watching:
                    reader.offer(chunk)
        if chunks or update.alerts or update.events:
            self._news.set()
            self._news = asyncio.Event()
        watched = self._watched()
        looked_at = bool(watched) or time.monotonic() - self._looked_s < LOOK_S
        return LiveWish(watched, PICTURE_LOOKED_AT_S if looked_at else PICTURE_IDLE_S)

    async def poll(
        self, reader_id: str, next_number: int, watching: frozenset[bytes], timeout_s: float
    ) -> LivePage:
        """What came since the reader's last poll; waits up to `timeout_s` while there is nothing.

        watching: all devices this reader wants samples of, until its lease or its next poll.
        """
        reader = self._readers.setdefault(reader_id, _Reader())
        reader.watching = frozenset(sorted(watching)[:WATCHED_MAX])
        reader.expires_s = time.monotonic() + LEASE_S
        if not reader.live and next_number >= self._next_number:
            try:
                async with asyncio.timeout(min(timeout_s, POLL_MAX_S)):
                    await self._news.wait()
            except TimeoutError:
                pass
        return self._page(reader, next_number)

    async def fleet(self) -> tuple[FleetSummary, FleetTable]:
        """The whole fleet at a glance. Whoever asks is looking: pictures come more often."""
        self._looked_s = time.monotonic()
        return self._fleet.summary(), self._fleet.table()

    async def summary(self) -> FleetSummary:
        """Rates, latencies and the shards' states."""
        return self._fleet.summary()

    def _page(self, reader: _Reader, next_number: int) -> LivePage:
        live = list(reader.live)
        dropped = reader.dropped
        reader.live.clear()
        reader.dropped = 0
        wanted = max(0, self._next_number - next_number)
        newest = list(islice(reversed(self._kept), wanted))[::-1]
        return LivePage(
            hub=self._id,
            next_number=self._next_number,
            alerts=[each for each in newest if isinstance(each, NumberedAlert)],
            events=[each for each in newest if isinstance(each, NumberedEvent)],
            missed_alerts=wanted > len(self._kept),
            live=live,
            dropped=dropped,
        )

    def _watched(self) -> frozenset[bytes]:
        now_s = time.monotonic()
        for reader_id in [r for r, reader in self._readers.items() if reader.expires_s < now_s]:
            del self._readers[reader_id]
        return frozenset().union(*(reader.watching for reader in self._readers.values()))


def start_live_hub() -> Any:
    """The hub's handle; starts it if it does not run. It lives until `stop_live_hub`."""
    actor: Any = ray.remote(LiveHub)
    return actor.options(
        name=HUB_NAME,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
    ).remote()


def connect_live_hub() -> Any:
    """The running hub's handle; raises ValueError if there is none."""
    return ray.get_actor(HUB_NAME, namespace=NAMESPACE)


def stop_live_hub() -> None:
    """End the hub, if it runs."""
    try:
        ray.kill(connect_live_hub())
    except ValueError:
        return
