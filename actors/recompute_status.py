"""Asks the recompute controller how it does, without importing what it works with."""

from typing import Any, Final

import ray
from ray.exceptions import RayError

from actors.live_hub import NAMESPACE
from fleetpulse.recompute.status import RecomputeStatus

RECOMPUTE_NAME: Final = "recompute"


async def recompute_status() -> RecomputeStatus | None:
    """Of the running controller; None if there is none."""
    try:
        controller: Any = ray.get_actor(RECOMPUTE_NAME, namespace=NAMESPACE)
        status: RecomputeStatus = await controller.status.remote()
    except (ValueError, RayError):
        return None
    return status
