"""A request's headers and body, read within bounds."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from fleetpulse.errors import InputError, Overloaded

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_TIMEOUT_S: Final = 30.0
"""A body that takes longer is refused."""
BODIES_TOGETHER: Final = 16
"""The largest bodies that may be under way at once; smaller ones are more."""


class ClientGone(Exception):
    """The client closed the connection before its body was complete."""


class Bodies:
    """Reads bodies; bounds each one and all that are held at once."""

    def __init__(self, body_bytes_max: int) -> None:
        self._max = body_bytes_max
        self._together_max = BODIES_TOGETHER * body_bytes_max
        self.held = 0
        """Bytes of all requests under way."""

    async def read(self, declared: int, receive: Receive) -> bytes:
        """The body, counted in `held` until `release`. declared: its Content-Length or 0."""
        if declared > self._max:
            raise self._too_large()
        message = await receive()
        if not message.get("more_body", False):
            return self.hold(_chunk(message))
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await self._collect(message, receive)
        except TimeoutError as error:
            reason = f"did not arrive within {BODY_TIMEOUT_S:g} s"
            raise InputError("body", reason, status=408) from error

    def hold(self, chunk: bytes, before: int = 0) -> bytes:
        """Count a chunk that came behind `before` bytes; raises InputError or Overloaded."""
        if before + len(chunk) > self._max:
            raise self._too_large()
        if self.held + len(chunk) > self._together_max:
            raise Overloaded("too many large bodies at once")
        self.held += len(chunk)
        return chunk

    def release(self, length: int) -> None:
        """The request with a body of so many bytes is over."""
        self.held -= length

    async def _collect(self, message: Message, receive: Receive) -> bytes:
        body = bytearray()
        try:
            while True:
                body += self.hold(_chunk(message), len(body))
                if not message.get("more_body", False):
                    return bytes(body)
                message = await receive()
        except BaseException:
            self.held -= len(body)
            raise

    def _too_large(self) -> InputError:
        return InputError("body", f"is larger than {self._max} bytes", status=413)


def _chunk(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGone
    chunk: bytes = message.get("body", b"")
    return chunk
