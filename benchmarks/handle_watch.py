"""Asks for devices through their handles during a run: `python -m benchmarks.handle_watch PLAN`.

A process of its own, as a user's program would be. Prints one line: the latencies, in µs.
"""

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.plan import LoadPlan
from devstack.attach import attach
from fleetpulse.errors import RetryLater
from fleetpulse.settings import load_settings

if TYPE_CHECKING:  # ray must not be imported before `attach`
    from actors.fleet import Fleet

INTERVAL_S = 0.02
LEAD_S = 2.0
"""Started when the fleet begins, it asks nothing before all devices have sent."""


async def watch(fleet: "Fleet", plan: LoadPlan) -> tuple[list[int], int]:
    """Latencies of views of known devices, and how many asked for found nothing."""
    devices = plan.fleet(start_us=0).device_ids
    chosen = random.Random(plan.seed)  # a repeatable choice
    latencies_us: list[int] = []
    missed = 0
    await asyncio.sleep(LEAD_S)
    end_s = time.monotonic() + plan.seconds - 2 * LEAD_S
    while time.monotonic() < end_s:
        begun_ns = time.perf_counter_ns()
        try:
            view = await fleet.device(chosen.choice(devices)).view()
        except RetryLater:
            view = None
        if view is None:
            missed += 1
        else:
            latencies_us.append((time.perf_counter_ns() - begun_ns) // 1000)
        await asyncio.sleep(INTERVAL_S)
    return latencies_us, missed


def main() -> None:
    """Watch for as long as the plan sends."""
    plan = LoadPlan.read(Path(sys.argv[1]))
    latencies_us, missed = asyncio.run(watch(attach(load_settings()), plan))
    sys.stdout.write(json.dumps({"latencies_us": latencies_us, "missed": missed}) + "\n")


if __name__ == "__main__":
    main()
