"""`kill -9` of a shard under load: back soon, and everything is as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.supervisor import Shards
from adapters.kafka.admin import KafkaAdmin
from adapters.postgres.migrate import migrate
from benchmarks.check import await_processed, check
from benchmarks.plan import LoadPlan
from benchmarks.score_watch import Received, ScoreWatch, longest_silence_s
from devstack.launch import environment_of
from fleetpulse.settings import KafkaSettings, PostgresSettings, Settings

ROOT = Path(__file__).resolve().parents[2]
DEVICES, SECONDS, KILL_AFTER_S = 250, 25, 10
RECOVERY_MAX_S = 10.0


def plan() -> LoadPlan:
    """50,000 samples/s; event time crosses a minute after 8 s."""
    now_us = time.time_ns() // 1000
    minute_us = now_us // 60_000_000 * 60_000_000
    return LoadPlan(
        run="kill",
        devices=DEVICES,
        rate_hz=200,
        frame_samples=20,
        seconds=SECONDS,
        via="kafka",
        disorder=0.01,
        duplicates=0.001,
        lateness_ms=2000,
        ill=0.5,
        profile_file=str(ROOT / "profiles" / "rotating-machine.yaml"),
        behind_us=now_us - (minute_us - 8_000_000),
    )


@pytest.fixture(scope="module")
def settings(
    kafka: KafkaSettings, postgres: PostgresSettings, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    folder = tmp_path_factory.mktemp("data")
    settings = Settings(data_folder=folder, kafka=kafka, postgres=postgres)
    KafkaAdmin(kafka).create_topics()
    assert postgres.dsn is not None
    migrate(postgres.dsn.get_secret_value())
    return settings


@pytest.fixture(scope="module")
def shards(settings: Settings, ray_cluster: None) -> Iterator[Shards]:
    shards = Shards(settings)
    shards.start()
    shards.await_ready(60)
    yield shards
    shards.stop()


@pytest.mark.timeout(180)
def test_a_killed_shard_changes_nothing(settings: Settings, shards: Shards, tmp_path: Path) -> None:
    watch = ScoreWatch(settings.kafka)
    watch.start()
    generator = _generator(settings, tmp_path)
    victim = shards.status()[0]
    try:
        time.sleep(KILL_AFTER_S)
        os.kill(victim.pid, signal.SIGKILL)
        killed_us = time.time_ns() // 1000
        output, _ = generator.communicate(timeout=90)
    finally:
        generator.kill()
    done = json.loads(output.splitlines()[-1])
    assert done["accepted"] == done["offered"], f"the log refused frames: {done['reasons']}"
    ended_us = time.time_ns() // 1000

    await_processed(settings, timeout_s=30)
    received = watch.stop()
    _assert_recovered(received, killed_us, ended_us)
    assert not psutil.pid_exists(victim.pid), "the victim was the shard that worked"
    report, outcome = check(settings)
    assert report.equal, "\n".join(report.lines())
    assert outcome.cells >= DEVICES * SECONDS * 200 * 6, "every sample is in the log"
    for name in ("scores", "alerts", "rollups in PostgreSQL", "alerts in PostgreSQL"):
        assert report.compared[name] > 0, f"the run had no {name} to compare"


def _generator(settings: Settings, folder: Path) -> "subprocess.Popen[str]":
    plan().write(folder / "plan.json")
    command = [sys.executable, "-m", "benchmarks.generator"]
    return subprocess.Popen(
        [*command, str(folder / "plan.json"), str(folder / "due.npy")],
        cwd=ROOT,
        env=os.environ | environment_of(settings),
        stdout=subprocess.PIPE,
        text=True,
    )


def _assert_recovered(received: list[Received], killed_us: int, ended_us: int) -> None:
    assert len({each.partition for each in received}) > 1, "several partitions have devices"
    silence_s = longest_silence_s(received, killed_us - 1_000_000, ended_us)
    print(f"the longest silence of a partition was {silence_s:.1f} s")
    assert silence_s < RECOVERY_MAX_S, f"a partition gave no score for {silence_s:.1f} s"
