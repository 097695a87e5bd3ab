"""A caller at a shard's door: requests are answered in their order."""

import asyncio
import pickle
from collections import deque
from typing import Final

from actors.caller import Caller
from actors.door import ANSWER, REQUEST, Answer

REQUESTS_MAX: Final = 1024
"""Requests of one caller that wait for their answers."""


class DoorClient(Caller):
    """One connection, of one event loop. Ends for good with the first failure."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._received = bytearray()

    @property
    def usable(self) -> bool:
        """Connected, and of the running event loop."""
        transport = self._transport
        return (
            transport is not None
            and not transport.is_closing()
            and self._loop is asyncio.get_running_loop()
        )

    async def view(self, key: bytes, timeout_s: float) -> Answer:
        """Raises OSError when the shard has gone or does not answer in time."""
        if not self.usable or len(self._waiting) >= REQUESTS_MAX:
            raise ConnectionError("the door is closed" if not self.usable else "too many requests")
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append(answer)
        self._write(REQUEST.pack(len(key)) + key)
        async with asyncio.timeout(timeout_s):
            return await answer

    def close(self) -> None:
        """Hang up; what waits fails."""
        if self._transport is not None and not self._loop.is_closed():
            self._transport.abort()

    # called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The door was there."""
        super().connection_made(transport)
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        """Some bytes of some answers."""
        self._received += data
        while len(self._received) >= ANSWER.size:
            (length,) = ANSWER.unpack_from(self._received)
            end = ANSWER.size + length
            if len(self._received) < end:
                return
            # The address came from the shard's actor, so this is what the shard wrote.
            answer: Answer = pickle.loads(self._received[ANSWER.size : end])  # noqa: S301
            del self._received[:end]
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """The shard or we hung up."""
        self._transport = None
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(ConnectionError(f"the shard has gone: {exc}"))
