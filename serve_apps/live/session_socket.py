"""`WS /ws/session/{id}`: a session while it runs, and what it came to.

First the session, then the samples, scores and alerts of its device, at last the session again,
with its statistics, and the end. A session that has ended is told once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from fleetpulse.errors import InputError, RetryLater
from fleetpulse.identity import DeviceKey
from fleetpulse.reads import SessionRow
from serve_apps.live.messages import encode, session_fields
from serve_apps.live.mirror import LiveMirror, Subscriber
from serve_apps.live.outbox import Ended, TooSlow
from serve_apps.live.socket import SEND_TIMEOUT_S, TRY_AGAIN_LATER

POLICY_VIOLATION: Final = 1008
NORMAL: Final = 1000
LOOK_S: Final = 5.0
"""An end that the hub did not tell of is found in the database."""

Find = Callable[[], Awaitable[SessionRow]]
"""The session's row; raises InputError if there is none."""


class SessionSocket:
    """One connection to one session."""

    def __init__(self, socket: WebSocket, mirror: LiveMirror, find: Find) -> None:
        self._socket = socket
        self._mirror = mirror
        self._find = find

    async def serve(self) -> None:
        """Until the session has ended or the client is gone; refuses what is not known."""
        await self._socket.accept()
        try:
            session = await self._find()
        except InputError as error:
            refusal = {"field": error.field, "reason": error.reason}
            await self._socket.send_text(encode({"type": "refused", "error": refusal}))
            await self._socket.close(POLICY_VIOLATION, str(error))
            return
        except RetryLater as error:
            await self._socket.close(TRY_AGAIN_LATER, str(error))
            return
        key = DeviceKey(session.tenant, session.device_id).encode()
        subscriber = Subscriber(session.tenant, only=key)
        subscriber.devices.add(key)
        subscriber.wants_alerts = True
        self._mirror.join(subscriber)
        tasks = [
            asyncio.create_task(self._write(subscriber, session)),
            asyncio.create_task(self._await_client()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._mirror.leave(subscriber)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, subscriber: Subscriber, session: SessionRow) -> None:
        watch = asyncio.create_task(self._until_ended(subscriber))
        try:
            if session.ended_at_us is None:
                await self._send(encode(session_fields(session)))
            while True:
                await self._send(await subscriber.outbox.next())
        except Ended:
            await self._socket.close(NORMAL, "the session has ended")
        except (TooSlow, TimeoutError):
            await self._socket.close(TRY_AGAIN_LATER, "too slow: connect again")
        except (WebSocketDisconnect, RuntimeError):
            return  # the client is gone
        finally:
            watch.cancel()

    async def _until_ended(self, subscriber: Subscriber) -> None:
        """The row says so; the hub says when to look at it."""
        while True:
            subscriber.news.clear()
            try:
                session = await self._find()
                if session.ended_at_us is not None:
                    subscriber.outbox.last(encode(session_fields(session)))
                    return
            except InputError as error:  # its device was deleted
                refusal = {"field": error.field, "reason": error.reason}
                subscriber.outbox.last(encode({"type": "refused", "error": refusal}))
                return
            except RetryLater:
                pass  # asked again
            with suppress(TimeoutError):
                await asyncio.wait_for(subscriber.news.wait(), LOOK_S)

    async def _send(self, message: str) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._socket.send_text(message)

    async def _await_client(self) -> None:
        """What the client says does not matter, that it leaves does."""
        try:
            while True:
                await self._socket.receive_text()
        except WebSocketDisconnect:
            return
