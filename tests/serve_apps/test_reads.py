"""Reads of the warm store against what the sinks wrote."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from adapters.postgres import reads
from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.migrate import migrate
from adapters.postgres.reads import PostgresReads
from adapters.postgres.rollup_sink import PostgresRollupSink
from fleetpulse.effects import DeviceSeen, Effects, RollupRows
from fleetpulse.errors import DatabaseUnavailable
from fleetpulse.ports import Advance
from fleetpulse.reads import AlertFilter, AlertKey
from fleetpulse.settings import PostgresSettings
from tests.serve_apps.parts import PUMP, START_US, alert_event

MINUTE_US = 60_000_000
Ask = Callable[[Callable[[PostgresReads], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture(scope="module")
def dsn(postgres: PostgresSettings) -> str:
    assert postgres.dsn is not None
    dsn = postgres.dsn.get_secret_value()
    migrate(dsn)
    effects = Effects(
        devices=[DeviceSeen(0, "default", f"pump-{n}", PUMP.ref, START_US + n) for n in range(3)],
        alerts=[
            alert_event("pump-0", START_US),
            alert_event("pump-1", START_US + 1),
            alert_event("pump-1", START_US + 3_000_001, cleared=True),
            alert_event("pump-2", START_US + 2),
        ],
        rollups=[minutes("pump-0", 3)],
    )
    for sink in (
        PostgresAlertSink(dsn, topic_id="t"),
        PostgresRollupSink(dsn, topic_id="t"),
    ):
        claim = sink.claim([0])[0]
        sink.write(effects, {0: Advance(claim.owner_epoch, 0, 1)})
        sink.close()
    return dsn


def minutes(device: str, count: int) -> RollupRows:
    full = np.ones((count, 2))
    return RollupRows(
        resolution="minute",
        profile=PUMP,
        partitions=np.zeros(count, np.int32),
        devices=[f"default/{device}".encode()] * count,
        bucket_us=START_US + MINUTE_US * np.arange(count),
        count=np.full((count, 2), 12_000, np.int32),
        min=-full,
        max=full,
        mean=0 * full,
        std=full / 2,
        score_count=np.full(count, 94, np.int32),
        score_over=np.zeros(count, np.int32),
        score_min=np.full(count, 0.1),
        score_max=np.full(count, 0.9),
        score_mean=np.full(count, 0.5),
        score_std=np.full(count, 0.2),
    )


@pytest.fixture
def ask(dsn: str) -> Ask:
    def ask(question: Callable[[PostgresReads], Coroutine[Any, Any, Any]]) -> Any:
        async def run() -> Any:
            store = PostgresReads(dsn)
            try:
                return await question(store)
            finally:
                await store.close()

        return asyncio.run(run())

    return ask


def test_devices_know_whether_an_alert_is_open(ask: Ask) -> None:
    rows = ask(lambda store: store.devices("default", "", "", 10))
    assert [(row.device_id, row.alert_open) for row in rows] == [
        ("pump-0", True),
        ("pump-1", False),
        ("pump-2", True),
    ]
    assert rows[1].first_seen_us == START_US + 1, "microseconds are kept exactly"


def test_devices_are_searched_and_paged(ask: Ask) -> None:
    rows = ask(lambda store: store.devices("default", "PUMP", "pump-0", 1))
    assert [row.device_id for row in rows] == ["pump-1"]
    assert ask(lambda store: store.devices("default", "%", "", 10)) == [], "% is no wildcard"


def test_one_device(ask: Ask) -> None:
    assert ask(lambda store: store.device("default", "pump-2")).profile == "pump@1"
    assert ask(lambda store: store.device("acme", "pump-2")) is None


def test_alerts_are_filtered_and_paged_newest_first(ask: Ask) -> None:
    async def pages(store: PostgresReads) -> list[str]:
        seen: list[str] = []
        before: AlertKey | None = None
        while rows := await store.alerts(AlertFilter("default"), before, 2):
            seen += [row.device_id for row in rows]
            before = AlertKey(rows[-1].raised_at_us, rows[-1].alert_id)
        return seen

    assert ask(pages) == ["pump-2", "pump-1", "pump-0"]
    cleared = ask(lambda store: store.alerts(AlertFilter("default", open=False), None, 9))
    assert [(row.device_id, row.cleared_at_us) for row in cleared] == [
        ("pump-1", START_US + 3_000_001)
    ]
    late = AlertFilter("default", from_us=START_US + 1, to_us=START_US + 2)
    assert [row.device_id for row in ask(lambda store: store.alerts(late, None, 9))] == ["pump-1"]


def test_open_alerts_are_record_keys(ask: Ask) -> None:
    found = ask(lambda store: store.open_alerts())
    assert found == {b"default/pump-0", b"default/pump-2"}


def test_rollups_of_a_range_name_their_channels(ask: Ask) -> None:
    rows = ask(
        lambda store: store.rollups(
            "default", "pump-0", "minute", START_US + MINUTE_US, START_US + 3 * MINUTE_US, 10
        )
    )
    assert [row.bucket_us for row in rows] == [START_US + MINUTE_US, START_US + 2 * MINUTE_US]
    assert (rows[0].channels, rows[0].count, rows[0].std) == (
        ["vib_x", "temp"],
        [12_000, 12_000],
        [0.5, 0.5],
    )
    assert rows[0].score_max == 0.9


def test_a_database_that_is_away_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "WAIT_S", 0.2)

    async def run() -> None:
        away = PostgresReads("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1")
        try:
            await away.ping()
        finally:
            await away.close()

    with pytest.raises(DatabaseUnavailable):
        asyncio.run(run())
