"""Writes what the live hub sees of the fleet into the data folder, for `status` and `demo`.

So a command needs no connection to Ray, and a hub that hangs does not hang the command.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from actors.live_hub import connect_live_hub
from devstack.state import fleet_file

HUB_TIMEOUT_S = 2.0


class FleetObserver:
    """Belongs to the stack's owner, which is connected to Ray."""

    def __init__(self, data_folder: Path) -> None:
        self._file = fleet_file(data_folder)

    def look(self) -> None:
        """Replace the file by the hub's newest summary; keep the old one if it does not answer."""
        try:
            summary = ray.get(connect_live_hub().summary.remote(), timeout=HUB_TIMEOUT_S)
        except (GetTimeoutError, RayError, ValueError):
            return
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(_plain(dataclasses.asdict(summary))))
        fresh.replace(self._file)

    def forget(self) -> None:
        """A stopped stack has no fleet."""
        self._file.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """JSON has no NaN: it becomes null."""
    match value:
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
