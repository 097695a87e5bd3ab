"""Shards are added and removed under load: a device pauses for a moment, and loses nothing."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

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
        ended = Event()
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(asyncio.run, _asked(settings, ended))
            try:
                for count in (3, 1):
                    shards.scale(count)
                    _await_owners(shards, count, settings.kafka.partitions)
                    time.sleep(3)
            finally:
                ended.set()
            found = asked.result(AWAIT_S)
        assert len(found) > 100
        assert all(found), "a handle did not find its device while it moved"

    received = run(settings, tmp_path, Load(devices=100, seconds=22), scale)

    pauses_s = _pauses_s(received, begun_us)
    p99_s = float(np.percentile(pauses_s, 99))
    print(f"the longest pause of a device: p50 {np.median(pauses_s):.2f} s, p99 {p99_s:.2f} s")
    assert p99_s < PAUSE_P99_S


def _await_owners(shards: Shards, count: int, partitions: int) -> None:
    """So many shards, with every partition between them."""
    deadline_s = time.monotonic() + AWAIT_S
    while True:
        owned = [{part.partition for part in each.partitions} for each in shards.status()]
        if len(owned) == count and all(owned) and sum(map(len, owned)) == partitions:
            return
        assert time.monotonic() < deadline_s, f"the partitions of {count} shards are {owned}"
        time.sleep(0.1)


async def _asked(settings: Settings, ended: Event) -> list[bool]:
    """Whether each view was there: of ten devices in turn, all the while that they move."""
    fleet, found = connect(settings), list[bool]()
    try:
        while not ended.is_set():
            views = [await fleet.device(f"benche2e-{n}").view() for n in range(0, 100, 10)]
            found += [view is not None for view in views]
            await asyncio.sleep(0.05)
    finally:
        await fleet.close()
    return found


def _pauses_s(received: list[Received], from_us: int) -> list[float]:
    """The longest time without a score of each device after this moment."""
    return list(longest_pauses_s(received, from_us).values())
