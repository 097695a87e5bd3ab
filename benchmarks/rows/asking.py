"""The questions of the REST layer on filled tables: how long they take, and by which plan."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import psycopg
from psycopg.sql import SQL, Composed

from adapters.postgres.reads import PostgresReads
from adapters.postgres.rollup_reads import rollups_query, top_parameters, top_query
from benchmarks.report import Latency
from benchmarks.rows.filling import DAY_US, DAYS, END_US
from benchmarks.rows.made import device_ids
from fleetpulse.live import DeviceView, ShardStatus
from fleetpulse.reads import Measure, TopQuestion
from serve_apps.query.service import METRICS_MAX, QueryService
from serve_apps.times import rfc3339

TIMES: Final = 200
WARM_UP: Final = 10
TOP: Final = 10
HOUR_US: Final = 3_600_000_000
_EXPLAIN: Final = SQL("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, SUMMARY OFF) ")

Show = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. answer_ms: as the service answers it, from parameters to JSON."""

    question: str
    rows: int
    answer_ms: Latency
    p95_ms: float
    plan: list[str]


class _NoActors:
    async def view(self, key: bytes) -> DeviceView | None:  # noqa: ARG002  # a port's method
        return None

    async def status(self) -> list[ShardStatus]:
        return []


def ask_all(dsn: str, devices: int, show: Show) -> list[Asked]:
    """Each question many times, of other devices and days."""
    return asyncio.run(_ask_all(dsn, devices, show))


async def _ask_all(dsn: str, devices: int, show: Show) -> list[Asked]:
    reads = PostgresReads(dsn)
    service = QueryService(reads, _NoActors(), stale_after_s=300)
    rng = np.random.default_rng(3)
    ids = device_ids(devices)

    async def day_by_minute() -> tuple[int, str]:
        day_us = END_US - int(rng.integers(1, DAYS["minute"] + 1)) * DAY_US
        found = await service.metrics(
            "default", ids[rng.integers(devices)], "minute", rfc3339(day_us),
            rfc3339(day_us + DAY_US), METRICS_MAX,
        )  # fmt: skip
        return len(found.buckets), found.model_dump_json()

    def top_by_hour(by: Measure) -> Callable[[], Awaitable[tuple[int, str]]]:
        async def ask() -> tuple[int, str]:
            day_us = END_US - int(rng.integers(1, DAYS["hour"] + 1)) * DAY_US
            found = await service.top(
                "default", "hour", by, rfc3339(day_us), rfc3339(day_us + DAY_US), TOP
            )
            return sum(len(each.devices) for each in found.buckets), found.model_dump_json()

        return ask

    questions: dict[str, Callable[[], Awaitable[tuple[int, str]]]] = {
        "one device, a day, by minute": day_by_minute,
        f"fleet top {TOP} of each hour of a day, by max": top_by_hour("max"),
        f"fleet top {TOP} of each hour of a day, by over": top_by_hour("over"),
    }
    plans = _plans(dsn, ids[devices // 2])
    answers = []
    try:
        for (name, question), plan in zip(questions.items(), plans, strict=True):
            took_us, rows = await _timed(question, partial(_shown, show, name))
            p95_ms = round(float(np.percentile(took_us, 95)) / 1000, 2)
            answers.append(Asked(name, rows, Latency.of(took_us), p95_ms, plan))
    finally:
        await reads.close()
    return answers


def _shown(show: Show, name: str, done: int) -> None:
    show(name, done, TIMES)


async def _timed(
    question: Callable[[], Awaitable[tuple[int, str]]], show: Callable[[int], None]
) -> tuple[list[int], int]:
    took_us, rows = [], 0
    for number in range(WARM_UP + TIMES):
        begun_s = time.perf_counter()
        rows, _ = await question()
        if number >= WARM_UP:
            took_us.append(round((time.perf_counter() - begun_s) * 1e6))
            show(len(took_us))
    return took_us, rows


def _plans(dsn: str, device_id: str) -> list[list[str]]:
    day_us = END_US - DAY_US
    hours = range(day_us, END_US, HOUR_US)
    asked: dict[str, Any] = {
        "tenant": "default", "device_id": device_id, "from_us": day_us, "to_us": END_US,
        "limit": METRICS_MAX,
    }  # fmt: skip
    questions: list[tuple[Composed, dict[str, Any]]] = [(rollups_query("minute"), asked)]
    for by in ("max", "over"):
        question = TopQuestion("default", "hour", by, hours, TOP)
        questions.append((top_query("hour", by), top_parameters(question)))
    with psycopg.connect(dsn, autocommit=True) as connection:
        return [
            [line for (line,) in connection.execute(_EXPLAIN + query, given).fetchall()]
            for query, given in questions
        ]
