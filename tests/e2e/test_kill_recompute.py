"""`kill -9` of the recomputation's processes while shards' late records become a view.

Another carries on, and in the end the view is as if nothing had come too late.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from confluent_kafka import Message

from adapters.kafka.decode import decode_rejected
from benchmarks import emitted
from benchmarks.check import check
from benchmarks.offline import compare
from benchmarks.offline.compare import Finding, compare_once
from benchmarks.offline.outcome import Outcome, compute
from benchmarks.topics import read_log, read_to_end
from fleetpulse.identity import DeviceKey
from fleetpulse.settings import KafkaSettings, RecomputeSettings, Settings
from tests.e2e.conftest import StartShards
from tests.e2e.load import Load, run

LOAD = Load(devices=40, seconds=12, late=0.03)
KILLS = ("ray::_support", "ray::RecomputeActor", "ray::_support")
LIMIT_S = 90
JOBS = "SELECT tenant, device_id, from_us, to_us, needs_offset FROM recompute_jobs"
CORRECTED = "SELECT tenant, device_id FROM rollup_minute WHERE view_epoch > 0 AND NOT withheld"
COMPUTING = "SELECT FROM recompute_jobs WHERE state = 'computing' AND lease_until > now() LIMIT 1"
WAITING = (
    "SELECT device_id, state, error FROM recompute_jobs"
    " WHERE passes = 0 AND state <> 'failed' OR state = 'computing'"
    " UNION ALL SELECT topic, 'untold', '' FROM recompute_outbox"
)


Ranges = dict[tuple[Any, ...], tuple[Any, ...]]
"""Tenant and device -> begin and end in event time, and the offset behind the last record."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Marks wait until the test asks for them."""
    patient = RecomputeSettings(delay_s=3600, lease_s=2)
    return settings.model_copy(update={"recompute": patient})


@pytest.mark.timeout(300)
def test_killed_recomputation_is_carried_on(
    settings: Settings, start_shards: StartShards, tmp_path: Path
) -> None:
    start_shards(1)
    run(settings, tmp_path, LOAD, lambda: None)
    assert settings.postgres.dsn is not None
    with psycopg.connect(settings.postgres.dsn.get_secret_value(), autocommit=True) as database:
        due = late_ranges(settings.kafka)
        assert len(due) > LOAD.devices / 2
        until(lambda: marked(database) == due, "every late record is marked")
        orderly = orderly_outcome(settings)
        assert rollups_wrong(database, orderly), "live's view lacks what was late"

        database.execute("UPDATE recompute_jobs SET due_at = now()")
        for name in KILLS:
            kill(database, name)
        until(lambda: not rows(database, WAITING), "every job is promoted and told")

        assert not rollups_wrong(database, orderly)
        expected = emitted.expected_alert_rows(orderly.alerts)
        assert {key for key, _ in emitted.alert_rows(database)} == expected.keys()
        report, _ = check(settings)
        assert report.equal, "\n".join(report.lines())
        assert len(set(rows(database, CORRECTED))) > LOAD.devices / 2
        passes = "SELECT j.view_epoch, v.view_epoch, passes FROM recompute_jobs j"
        for promoted in rows(
            database, f"{passes} JOIN recompute_views v USING (tenant, device_id)"
        ):
            assert len(set(promoted)) == 1, "each pass was promoted once"


def rows(database: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return database.execute(query.encode()).fetchall()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s: {what}"
        time.sleep(0.1)


def late_ranges(kafka: KafkaSettings) -> Ranges:
    """What the shards found late."""
    found: Ranges = {}

    def take(message: Message) -> None:
        late = decode_rejected(message.value() or b"")
        name = DeviceKey.decode(late.key)
        from_us, to_us, offset = found.get(name, (late.first_us, 0, 0))
        found[name] = (
            min(from_us, late.first_us),
            max(to_us, late.last_us + 1),
            max(offset, late.offset + 1),
        )

    read_to_end(kafka, "telemetry.late", take)
    return found


def marked(database: psycopg.Connection[Any]) -> Ranges:
    """What the controller made of it."""
    return {each[:2]: each[2:] for each in rows(database, JOBS)}


def orderly_outcome(settings: Settings) -> Outcome:
    """As if nothing had come too late."""
    log, _ = read_log(settings.kafka)
    return compute(log, settings.model.folder, after_recompute=True)


def rollups_wrong(database: psycopg.Connection[Any], orderly: Outcome) -> list[Finding]:
    """Minutes, hours and days that are not as they should be."""
    expected = {key: row for key, row in orderly.rollups.items() if key[1] > 1}
    assert expected, "a minute has ended"
    return compare_once(
        expected,
        emitted.rollup_rows(database),
        compare.rollup_name,
        compare.rollup_difference,
    )


def kill(database: psycopg.Connection[Any], name: str) -> None:
    """A process that does this, while jobs are computed."""
    victims: list[psutil.Process] = []

    def found() -> bool:
        victims[:] = [
            each
            for each in psutil.Process().children(recursive=True)
            if title(each).startswith(name)
        ]
        return bool(victims and rows(database, COMPUTING))

    until(found, f"{name} is at work")
    victims[0].kill()
    victims[0].wait(10)


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
