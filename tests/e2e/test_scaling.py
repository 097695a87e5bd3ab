"""Shards are added and removed under load: a device pauses for a moment, and loses nothing."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from actors.fleet import connect
from actors.supervisor import Shards
from benchmarks.score_watch import Received, longest_pauses_s
from fleetpulse.settings import Settings
from tests.e2e.conftest import StartShards
from tests.e2e.load import Load, run

PAUSE_P99_S = 3.0
AWAIT_S = 30.0


@pytest.mark.timeout(180)
def test_devices_move_to_new_shards_and_back(
    settings: Settings, start_shards: StartShards, tmp_path: Path
) -> None:
    shards = start_shards(1)
    begun_us = 0

    def scale() -> None:
        nonlocal begun_us
        time.sleep(6)  # every device has sent
        begun_us = time.time_ns() // 1000
        for count in (3, 1):
            shards.scale(count)
            _await_owners(shards, count)
            _assert_devices_are_found(settings)
            time.sleep(3)

    received = run(settings, tmp_path, Load(devices=100, seconds=22), scale)

    pauses_s = _pauses_s(received, begun_us)
    p99_s = float(np.percentile(pauses_s, 99))
    print(f"the longest pause of a device: p50 {np.median(pauses_s):.2f} s, p99 {p99_s:.2f} s")
    assert p99_s < PAUSE_P99_S


def _await_owners(shards: Shards, count: int) -> None:
    """So many shards, with every partition between them."""
    deadline_s = time.monotonic() + AWAIT_S
    while True:
        owned = [{part.partition for part in each.partitions} for each in shards.status()]
        if len(owned) == count and all(owned) and sum(map(len, owned)) == 8:
            return
        assert time.monotonic() < deadline_s, f"the partitions of {count} shards are {owned}"
        time.sleep(0.1)


def _assert_devices_are_found(settings: Settings) -> None:
    async def views() -> list[object]:
        fleet = connect(settings)
        try:
            return [await fleet.device(f"benche2e-{n}").view() for n in range(0, 100, 10)]
        finally:
            await fleet.close()

    assert all(asyncio.run(views())), "a device's handle does not find its shard"


def _pauses_s(received: list[Received], from_us: int) -> list[float]:
    """The longest time without a score of each device after this moment."""
    return list(longest_pauses_s(received, from_us).values())
