"""Keeps the ingest's picture of profiles and assignments as new as the control records."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from fleetpulse.errors import FleetpulseError
from serve_apps.ingest.devices import Devices

REFRESH_S: Final = 0.5
RETRY_S: Final = 2.0

_log = logging.getLogger("fleetpulse.ingest")


class Controls(Protocol):
    """Control records in their order. Each call blocks: it runs off the loop."""

    def read(self) -> list[bytes]:
        """Those that were not returned before; raises RetryLater."""

    def close(self) -> None:
        """Close the connection."""


async def follow(devices: Devices, connect: Callable[[], Controls]) -> None:
    """Until cancelled. After an error everything is read again: what was seen changes nothing."""
    while True:
        try:
            controls = await asyncio.to_thread(connect)
            try:
                await _follow(devices, controls)
            finally:
                await asyncio.to_thread(controls.close)
        except FleetpulseError as error:
            _log.warning("control records: %s", error)
            await asyncio.sleep(RETRY_S)


async def _follow(devices: Devices, controls: Controls) -> None:
    while True:
        for value in await asyncio.to_thread(controls.read):
            try:
                devices.apply(value)
            except FleetpulseError as error:
                _log.warning("a control record is ignored: %s", error)
        await asyncio.sleep(REFRESH_S)
