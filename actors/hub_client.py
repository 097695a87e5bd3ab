"""Callers at the live hub's door: a shard's, which waits, and a query replica's, which does not."""

import asyncio
import pickle
import socket
from typing import Any, Final

from actors.caller import Caller
from actors.door import DoorAddress, exactly, hang_up
from actors.hub_door import HEAD, frame, head_of, taken

CALLS_MAX: Final = 32
"""Of one client, under way at a time; others wait for their turn."""


class HubCaller:
    """One connection of one thread, one call at a time. Ends for good with the first failure."""

    def __init__(self, address: DoorAddress, timeout_s: float) -> None:
        """timeout_s: of each wait. Raises OSError."""
        self._socket = socket.create_connection((address.host, address.port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(address.token)

    def call(self, method: str, *arguments: object) -> Any:
        """What the hub answers. Raises OSError when it has gone (TimeoutError is one)."""
        self._socket.sendall(frame(0, (method, arguments)))
        _, length = head_of(exactly(self._socket, HEAD.size))
        # The address came from the hub's actor, so this is what the hub wrote.
        return pickle.loads(exactly(self._socket, length))  # noqa: S301

    def close(self) -> None:
        """Hang up."""
        hang_up(self._socket)


class HubClient(Caller):
    """One connection of one event loop, many calls. Ends for good with the first failure."""

    def __init__(self) -> None:
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._received = bytearray()
        self._number = 0
        self._room = asyncio.Semaphore(CALLS_MAX)

    @property
    def usable(self) -> bool:
        """Connected, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    async def call(self, method: str, *arguments: object, timeout_s: float) -> Any:
        """What the hub answers. Raises OSError when it has gone or is silent for too long."""
        try:
            async with asyncio.timeout(timeout_s), self._room:
                return await self._answer(method, arguments)
        except TimeoutError:
            self.close()  # a host that went without a word leaves its connections open
            raise

    async def _answer(self, method: str, arguments: tuple[object, ...]) -> Any:
        if self._transport is None:
            raise ConnectionError("the hub has gone")
        self._number = number = (self._number + 1) % 2**32
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._transport.write(frame(number, (method, arguments)))
        try:
            return await answer
        finally:
            del self._answers[number]

    def close(self) -> None:
        """Hang up; what waits fails."""
        if self._transport is not None:
            self._transport.abort()

    # called by the event loop

    def data_received(self, data: bytes) -> None:
        """Some bytes of some answers."""
        self._received += data
        try:
            for number, content in taken(self._received):
                answer = self._answers.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(content)
        except Exception:  # whatever another release may have pickled
            self.close()
            raise

    def connection_lost(self, exc: Exception | None) -> None:
        """The hub or we hung up."""
        self._transport = None
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError(f"the hub has gone: {exc}"))
