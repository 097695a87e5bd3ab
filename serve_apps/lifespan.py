"""The ASGI lifespan protocol for an application without a framework."""

from collections.abc import Awaitable, Callable

from serve_apps.ingest.body import Receive, Send

Step = Callable[[], Awaitable[None]]


async def run_lifespan(receive: Receive, send: Send, start: Step, stop: Step) -> None:
    """Start when the server does, stop when it asks; a failed start is told to the server."""
    await receive()
    try:
        await start()
    except Exception as error:  # noqa: BLE001  # the server logs it and ends
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await stop()
    await send({"type": "lifespan.shutdown.complete"})
