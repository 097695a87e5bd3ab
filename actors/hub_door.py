"""The live hub's own door: what shards push and replicas poll comes over sockets of its loop.

An actor call crosses several threads in each of its processes, and an alert needs two of them on
its way to people. Callers learn address and token from the actor, so who cannot reach Ray cannot
ask: what is unpickled here comes from our own shards and replicas.
"""

import asyncio
import hmac
import logging
import pickle
import secrets
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, cast

from actors.door import TOKEN_BYTES, DoorAddress

CALLERS_MAX: Final = 1024
CALLS_MAX: Final = 64
"""Of one caller, under way at a time."""
FRAME_BYTES_MAX: Final = 64 << 20
"""Of a call or an answer; a picture of 100,000 devices is a tenth of it."""
UNREAD_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX
"""Answers that a caller does not take."""
INTRODUCTION_S: Final = 5.0
HEAD: Final = struct.Struct("<II")
"""The call's number, and the length of what follows: pickled, (method, arguments) or an answer."""
_log = logging.getLogger(__name__)

Methods = Mapping[str, Callable[..., Awaitable[object]]]


class TooLong(ConnectionError):
    """A frame beyond the bound."""


def frame(number: int, content: object) -> bytes:
    """A call or its answer."""
    pickled = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return HEAD.pack(number, len(pickled)) + pickled


def head_of(received: bytes | bytearray) -> tuple[int, int]:
    """The number at the front, and the length of what follows. Raises TooLong."""
    number, length = HEAD.unpack_from(received)
    if length > FRAME_BYTES_MAX:
        raise TooLong(f"{length} bytes")
    return number, length


def taken(received: bytearray) -> Iterator[tuple[int, Any]]:
    """Take whole frames off the front: number and content. Raises TooLong."""
    while len(received) >= HEAD.size:
        number, length = head_of(received)
        end = HEAD.size + length
        if len(received) < end:
            return
        content = pickle.loads(received[HEAD.size : end])  # noqa: S301 - who sent it has the token
        del received[:end]
        yield number, content


class HubDoor:
    """Answers calls of `methods`, in the event loop that opens it, until `close`."""

    def __init__(self, methods: Methods) -> None:
        self.methods = methods
        self.token = secrets.token_bytes(TOKEN_BYTES)
        self.callers: set[_Caller] = set()
        self._opening: asyncio.Task[asyncio.Server] | None = None

    async def open(self, host: str) -> DoorAddress:
        """Where it is; opens it at the first call."""
        loop = asyncio.get_running_loop()
        if self._opening is None:
            self._opening = loop.create_task(
                loop.create_server(lambda: _Caller(self), host, 0, backlog=CALLERS_MAX)
            )
        try:
            server = await asyncio.shield(self._opening)
        except OSError:
            self._opening = None  # the next call tries again
            raise
        return DoorAddress(host, server.sockets[0].getsockname()[1], self.token)

    async def close(self) -> None:
        """Let nobody in and everybody out."""
        if self._opening is None:
            return
        (await self._opening).close()
        for each in [*self.callers]:
            each.hang_up()
        await asyncio.sleep(0)  # the loop closes their sockets in its next turn


class _Caller(asyncio.Protocol):
    """One connection. A caller who breaks a bound or has no token is hung up on."""

    def __init__(self, door: HubDoor) -> None:
        self._door = door
        self._received = bytearray()
        self._known = False
        self._calls: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody came."""
        # No check of its type: uvloop's does not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if len(self._door.callers) >= CALLERS_MAX:
            _log.warning("a caller is sent away: there are %d", CALLERS_MAX)
            self.hang_up()
            return
        self._door.callers.add(self)
        # A host that went without a word leaves its connection open.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        asyncio.get_running_loop().call_later(INTRODUCTION_S, self._expect_token)

    def data_received(self, data: bytes) -> None:
        """Some bytes of some calls."""
        self._received += data
        if not self._known and not self._introduced():
            return
        try:
            for number, (method, arguments) in taken(self._received):
                call = asyncio.get_running_loop().create_task(
                    self._answer(number, method, arguments)
                )
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)
        except Exception as error:  # noqa: BLE001 - whatever another release may have pickled
            _log.warning("a caller says what is not understood: %s", error)
            self.hang_up()
        if len(self._calls) > CALLS_MAX:
            _log.warning("a caller has more than %d calls under way", CALLS_MAX)
            self.hang_up()

    def connection_lost(self, _: Exception | None) -> None:
        """The caller or we hung up."""
        self._door.callers.discard(self)
        for call in self._calls:
            call.cancel()

    def hang_up(self) -> None:
        """For good."""
        self._transport.abort()

    def _introduced(self) -> bool:
        if len(self._received) < TOKEN_BYTES:
            return False
        token = bytes(self._received[:TOKEN_BYTES])
        del self._received[:TOKEN_BYTES]
        self._known = hmac.compare_digest(token, self._door.token)
        if not self._known:
            self.hang_up()
        return self._known

    def _expect_token(self) -> None:
        if not self._known:
            self.hang_up()

    async def _answer(self, number: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            answer = frame(number, await self._door.methods[method](*arguments))
        except Exception:  # noqa: BLE001 - a task of its own: nobody else would say it
            _log.exception("live hub: %s", method)
            self.hang_up()
            return
        self._transport.write(answer)
        if self._transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            _log.warning("a caller does not take its answers")
            self.hang_up()
