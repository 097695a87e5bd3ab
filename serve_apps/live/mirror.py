"""A query replica's mirror of the live hub: one poll for all of its sockets."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ray.exceptions import RayError

from actors.live_hub import LivePage, LiveScore, NumberedAlert, connect_live_hub
from fleetpulse.errors import RetryLater
from fleetpulse.identity import DeviceKey
from serve_apps.live.fleet_view import FleetPicture, FleetQuery
from serve_apps.live.messages import alert_message, encode, samples_message, score_message
from serve_apps.live.outbox import Outbox

POLL_S: Final = 0.5
CALL_TIMEOUT_S: Final = 10.0
PICTURE_S: Final = 1.0
RETRY_S: Final = 1.0

_log = logging.getLogger("fleetpulse.live")

Connect = Callable[[], Any]
"""The hub's handle; raises ValueError while there is none."""
OpenAlerts = Callable[[], Awaitable[set[bytes]]]
"""Record keys of the devices with an open alert, from the database."""


class Subscriber:
    """One socket as the mirror sees it."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.wants_alerts = False
        self.devices: set[bytes] = set()
        self.fleet: FleetQuery | None = None


class LiveMirror:
    """Polls the hub and fills the subscribers' outboxes. Owns its tasks."""

    def __init__(self, open_alerts: OpenAlerts, connect: Connect = connect_live_hub) -> None:
        self._load_open_alerts = open_alerts
        self._connect = connect
        self._reader_id = uuid.uuid4().hex
        self._subscribers: set[Subscriber] = set()
        self._hub_id = ""
        self._next_number = 1
        self._open: set[bytes] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to poll; needs a running loop."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._forever(self._poll_once)),
                asyncio.create_task(self._forever(self._picture_once)),
            ]

    async def close(self) -> None:
        """End the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def join(self, subscriber: Subscriber) -> None:
        """Begin to fill this subscriber's outbox."""
        self._subscribers.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Forget it."""
        self._subscribers.discard(subscriber)

    async def catch_up(self, subscriber: Subscriber, cursor: str) -> None:
        """Send the alerts after `cursor`, then live ones; tells when some are not kept any more."""
        subscriber.wants_alerts = True  # first: one that comes meanwhile is sent twice, not never
        hub_id, _, number = cursor.partition(":")
        known = hub_id == self._hub_id and number.isdigit()
        page = await self._ask(int(number) + 1, frozenset(), 0.0) if known else None
        if page is None or page.hub != hub_id or page.missed_alerts:
            subscriber.outbox.alert(encode({"type": "alerts_missed"}))
        for alert in page.alerts if page else ():
            subscriber.outbox.alert(alert_message(hub_id, alert))

    async def _forever(self, once: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await once()
            except (RayError, RetryLater, ValueError, TimeoutError) as error:
                _log.warning("live hub: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _poll_once(self) -> None:
        watching = frozenset().union(*(each.devices for each in self._subscribers))
        page = await self._ask(self._next_number, watching, POLL_S)
        if page.hub != self._hub_id:
            await self._begin(page.hub)
            return
        self._next_number = page.next_number
        self._hand_out_alerts(page)
        self._hand_out_live(page)

    async def _ask(self, number: int, watching: frozenset[bytes], timeout_s: float) -> LivePage:
        hub = self._connect()
        # A catching-up socket is another reader: it must not take the mirror's live chunks.
        reader = self._reader_id if timeout_s else f"{self._reader_id}-catch-up"
        answer = hub.poll.remote(reader, number, watching, timeout_s)
        page: LivePage = await asyncio.wait_for(answer, CALL_TIMEOUT_S)
        return page

    async def _begin(self, hub_id: str) -> None:
        """Another hub: its numbers start anew, and what happened between is in the database."""
        self._open = await self._load_open_alerts()
        missed = bool(self._hub_id)
        self._hub_id, self._next_number = hub_id, 1
        for each in self._subscribers if missed else ():
            if each.wants_alerts:
                each.outbox.alert(encode({"type": "alerts_missed"}))

    def _hand_out_alerts(self, page: LivePage) -> None:
        for alert in page.alerts:
            self._note(alert)
            message = alert_message(page.hub, alert)
            for each in self._subscribers:
                if each.wants_alerts:
                    each.outbox.alert(message)

    def _hand_out_live(self, page: LivePage) -> None:
        for chunk in page.live:
            watching = [each for each in self._subscribers if chunk.device in each.devices]
            if watching:
                message = (
                    score_message(chunk) if isinstance(chunk, LiveScore) else samples_message(chunk)
                )
                for each in watching:
                    each.outbox.live(message)
        if page.dropped:
            for each in self._subscribers:
                if each.devices:
                    each.outbox.lost(page.dropped)

    def _note(self, alert: NumberedAlert) -> None:
        key = DeviceKey(alert.event.tenant, alert.event.device_id).encode()
        if alert.event.kind == "raised":
            self._open.add(key)
        else:
            self._open.discard(key)

    async def _picture_once(self) -> None:
        if any(each.fleet for each in self._subscribers):
            answer = self._connect().fleet.remote()
            summary, table = await asyncio.wait_for(answer, CALL_TIMEOUT_S)
            picture = FleetPicture(summary, table, self._open)
            for each in self._subscribers:
                if each.fleet:
                    each.outbox.fleet(encode(picture.message(each.fleet, each.devices)))
        await asyncio.sleep(PICTURE_S)
