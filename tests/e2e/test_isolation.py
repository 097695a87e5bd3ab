"""Devices that misbehave beside a fleet change nothing for the others, and are named."""

import time
from pathlib import Path

import numpy as np
import pytest

from actors.supervisor import Shards
from benchmarks.child import start_module
from benchmarks.score_watch import Received
from benchmarks.villains import villains
from fleetpulse.settings import Settings
from tests.e2e.conftest import StartShards
from tests.e2e.load import Load, run

LOAD = Load(devices=50, seconds=20)
CALM_S = 8.0
BESIDE_S = 8.0
HARM_MAX_S = 0.25
AWAIT_S = 10.0


@pytest.mark.timeout(120)
def test_a_fleet_does_not_notice_the_villains_beside_it(
    settings: Settings, start_shards: StartShards, tmp_path: Path
) -> None:
    shards = start_shards(2)
    joined_us = left_us = 0

    def disturb() -> None:
        nonlocal joined_us, left_us
        time.sleep(CALM_S)
        joined_us = time.time_ns() // 1000
        crowd = start_module(settings, "benchmarks.villains", tmp_path / "plan.json")
        try:
            time.sleep(BESIDE_S)
            left_us = time.time_ns() // 1000
            _await_named(shards)
            assert crowd.poll() is None, "the villains ended early"
        finally:
            crowd.kill()
            crowd.communicate(timeout=5)

    received = run(settings, tmp_path, LOAD, disturb)

    scores = [each for each in received if each.key not in villains(LOAD.plan())]
    before_s = _p95_s(scores, joined_us - 5_000_000, joined_us)
    beside_s = _p95_s(scores, joined_us, left_us)
    assert beside_s < before_s + HARM_MAX_S, "the others' scores come later beside the villains"


def _await_named(shards: Shards) -> None:
    expected = {(key.decode(), str(reason)) for key, reason in villains(LOAD.plan()).items()}
    deadline_s = time.monotonic() + AWAIT_S
    while True:
        found = {(each.device, each.cause) for status in shards.status() for each in status.causes}
        if expected <= found:
            return
        assert time.monotonic() < deadline_s, f"not named: {expected - found}"
        time.sleep(0.1)


def _p95_s(scores: list[Received], from_us: int, to_us: int) -> float:
    """From a window's end to its score. The fleet's event time is behind by a constant, which
    is in it."""
    waits_us = [e.received_us - e.end_us for e in scores if from_us <= e.received_us < to_us]
    assert len(waits_us) > 100
    return float(np.percentile(waits_us, 95)) / 1e6
