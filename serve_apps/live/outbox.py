"""What waits to be sent over one socket: bounded, alerts first, never an alert lost silently."""

import asyncio
from collections import deque
from typing import Final

from serve_apps.live.messages import encode

ALERTS_MAX: Final = 5_000
LIVE_MAX: Final = 100
"""Chunks of samples and scores; beyond it the oldest go."""


class TooSlow(Exception):
    """Alerts pile up: the client must reconnect with its cursor."""


class Ended(Exception):
    """The last message has been taken."""


class Outbox:
    """Filled by the mirror, emptied by the socket's writer."""

    def __init__(self) -> None:
        self._alerts: deque[str] = deque()
        self._live: deque[str] = deque()
        self._fleet: str | None = None
        self._last: str | None = None
        self._ended = False
        self._dropped = 0
        self._overflown = False
        self._news = asyncio.Event()

    def alert(self, message: str) -> None:
        """Keep; an outbox that is full ends the socket."""
        if len(self._alerts) >= ALERTS_MAX:
            self._overflown = True
        else:
            self._alerts.append(message)
        self._news.set()

    def live(self, message: str) -> None:
        """Keep the newest."""
        if self._ended:
            return
        if len(self._live) >= LIVE_MAX:
            self._live.popleft()
            self._dropped += 1
        self._live.append(message)
        self._news.set()

    def lost(self, count: int) -> None:
        """Chunks that were dropped before they came here."""
        self._dropped += count

    def fleet(self, message: str) -> None:
        """Only the newest picture matters."""
        self._fleet = message
        self._news.set()

    def last(self, message: str) -> None:
        """Comes after what waits by now; what comes later is not sent any more."""
        self._last = message
        self._ended = True
        self._news.set()

    async def next(self) -> str:
        """The next message; waits for one. Raises TooSlow, and Ended after the last one."""
        while True:
            if self._overflown:
                raise TooSlow
            if self._alerts:
                return self._alerts.popleft()
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                return encode({"type": "dropped", "count": dropped})
            if self._fleet is not None:
                fleet, self._fleet = self._fleet, None
                return fleet
            if self._live:
                return self._live.popleft()
            if self._last is not None:
                last, self._last = self._last, None
                return last
            if self._ended:
                raise Ended
            self._news.clear()
            await self._news.wait()
