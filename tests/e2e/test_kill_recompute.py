"""`kill -9` of the recomputation's processes: another carries on, and the view is what it was."""

import asyncio
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from adapters.postgres.jobs import PostgresJobs
from fleetpulse.recompute.job import Mark
from fleetpulse.recompute.ranges import TimeRange
from fleetpulse.recompute.requests import JobRow
from fleetpulse.settings import RecomputeSettings, Settings
from tests.e2e.conftest import StartShards
from tests.e2e.load import Load, run

DEVICES = 40
KILLS = ("ray::_support", "ray::RecomputeActor", "ray::_support")
PROMOTED_LIMIT_S = 90
VIEW = """
SELECT tenant, device_id, bucket::text, count::text, min::text, max::text, mean::text, std::text,
    score_count, score_max::text, score_mean::text
FROM rollup_minute WHERE NOT withheld ORDER BY 1, 2, 3
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    quick = RecomputeSettings(delay_s=0, lease_s=2)
    return settings.model_copy(update={"recompute": quick})


@pytest.mark.timeout(240)
def test_killed_recomputation_is_carried_on(
    settings: Settings, start_shards: StartShards, tmp_path: Path
) -> None:
    start_shards(1)
    run(settings, tmp_path, Load(devices=DEVICES, seconds=12), lambda: None)
    assert settings.postgres.dsn is not None
    dsn = settings.postgres.dsn.get_secret_value()
    before = view(dsn)
    assert {row[1] for row in before}, "a minute has ended"

    jobs = asyncio.run(mark_all(settings, dsn, {(row[0], row[1]) for row in before}))
    for name in KILLS:
        victim = await_process(name)
        victim.kill()
        victim.wait(10)

    for job in asyncio.run(await_promoted(settings, dsn, jobs)):
        assert job.passes, f"{job.device_id}: {job.state} {job.error}"
    wrong = [pair for pair in zip(before, view(dsn), strict=True) if pair[0] != pair[1]]
    assert not wrong, (
        f"what was right stays as it is, but: {wrong[0]} ({len(wrong)} of {len(before)})"
    )


def view(dsn: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(VIEW).fetchall()


def await_process(name: str) -> psutil.Process:
    """A process below this one that does this."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for process in psutil.Process().children(recursive=True):
            if title(process).startswith(name):
                return process
        time.sleep(0.02)
    raise AssertionError(f"no {name} is at work")


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


async def mark_all(settings: Settings, dsn: str, devices: set[tuple[str, str]]) -> list[int]:
    """All of the past, of each device."""
    now_us = time.time_ns() // 1000
    past = TimeRange(now_us - 3_600_000_000, now_us)
    marks = [
        Mark(f"test:{number}", tenant, device, past, "person")
        for number, (tenant, device) in enumerate(sorted(devices))
    ]
    jobs = PostgresJobs(dsn, partitions=settings.kafka.partitions)
    try:
        return await jobs.mark(marks)
    finally:
        await jobs.close()


async def await_promoted(settings: Settings, dsn: str, ids: list[int]) -> list[JobRow]:
    """The jobs, once each was promoted; later ones of an hour that is still open may follow."""
    deadline = time.monotonic() + PROMOTED_LIMIT_S
    jobs = PostgresJobs(dsn, partitions=settings.kafka.partitions)
    try:
        while True:
            found = [each for job_id in ids if (each := await jobs.job("default", job_id))]
            if all(job.passes or job.state == "failed" for job in found):
                return found
            assert time.monotonic() < deadline, [f"{job.device_id} {job.state}" for job in found]
            await asyncio.sleep(0.1)
    finally:
        await jobs.close()
