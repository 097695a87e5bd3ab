"""What callers at a shard's door and at the live hub's have in common: the token comes first."""

import asyncio
from typing import Self, cast

from actors.door import DoorAddress


class Caller(asyncio.Protocol):
    """One connection. Ends for good with the first failure."""

    _transport: asyncio.Transport | None = None
    """None before the door was there, and after."""

    @classmethod
    async def connect(cls, address: DoorAddress, timeout_s: float) -> Self:
        """Raises OSError when the door does not open in time (TimeoutError is one)."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            _, client = await loop.create_connection(cls, address.host, address.port)
        client.introduce(address.token)
        return client

    def introduce(self, token: bytes) -> None:
        """What the door wants to see first."""
        self._write(token)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The door was there."""
        # No check of its type: uvloop's, under Serve, does not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)
