"""TLS in front of a server without it, as a database pooler or a provider's proxy ends it.

PostgreSQL of the local stack is built without OpenSSL.
"""

import asyncio
import ssl
from contextlib import suppress
from threading import Thread

from tests.adapters.certificates import Certificate

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""How a client of PostgreSQL asks for TLS; the answer is one letter."""


class TlsFront:
    """Takes connections of PostgreSQL clients on loopback, and only those that ask for TLS."""

    def __init__(self, identity: Certificate, *, server_port: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity.certificate, identity.key)
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, "127.0.0.1", 0)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = Thread(target=self._loop.run_forever, name="tls-front", daemon=True)
        self._thread.start()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST:
                    writer.write(b"S")
                    await writer.start_tls(self._context)
                    await self._relay(reader, writer)
        finally:
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either side closes."""
        answers, requests = await asyncio.open_connection("127.0.0.1", self._server_port)
        both = [
            asyncio.ensure_future(_copy(reader, requests)),
            asyncio.ensure_future(_copy(answers, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            requests.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await source.read(65_536):
            target.write(part)
            await target.drain()
