"""`kill -9` of a shard under load: back soon, and everything is as if nothing had happened."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.score_watch import longest_silence_s
from fleetpulse.settings import Settings
from tests.e2e.conftest import StartShards
from tests.e2e.load import Load, run

KILL_AFTER_S = 12
RECOVERY_MAX_S = 10.0


@pytest.mark.timeout(180)
def test_a_killed_shard_changes_nothing(
    settings: Settings, start_shards: StartShards, tmp_path: Path
) -> None:
    shards = start_shards(2, spare=True)
    victim = shards.status()[0]
    killed_us, ready = 0, set()

    def kill() -> None:
        nonlocal killed_us, ready
        time.sleep(KILL_AFTER_S)
        ready = shard_processes()
        os.kill(victim.pid, signal.SIGKILL)
        killed_us = time.time_ns() // 1000

    received = run(settings, tmp_path, Load(devices=250, seconds=26), kill)

    assert len({each.partition for each in received}) > 1, "several partitions have devices"
    silence_s = longest_silence_s(received, killed_us - 1_000_000, received[-1].received_us)
    print(f"the longest silence of a partition was {silence_s:.1f} s")
    assert silence_s < RECOVERY_MAX_S, f"a partition gave no score for {silence_s:.1f} s"
    assert not psutil.pid_exists(victim.pid), "the victim was the shard that worked"
    now = {each.shard: each.pid for each in shards.status()}
    assert victim.shard in now, "its slot is held again"
    assert now[victim.shard] in ready, "the spare holds it, which was there before"


def shard_processes() -> set[int]:
    """Of all shards on this machine, spares too."""
    return {
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [""])[0].startswith("ray::DeviceShard")
    }
