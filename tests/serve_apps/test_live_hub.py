"""The live hub without Ray: what shards push is what readers poll, within bounds."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from actors import live_hub
from actors.live_fleet import LiveFleet
from actors.live_hub import LiveHub
from fleetpulse.effects import AlertEvent, Presence
from fleetpulse.live import (
    LiveAlert,
    LivePicture,
    LiveSamples,
    LiveScore,
    LiveUpdate,
    PartitionStatus,
    ShardStatus,
)


def status(samples: int = 0, shard: str = "shard-0", lag: int = 3) -> ShardStatus:
    part = PartitionStatus(
        partition=0, next_offset=9, lag=lag, log_time_us=0, snapshot_offset=0, state="running"
    )
    return ShardStatus(shard, 1, (part,), 1, samples, 1, 1, 0, 0, 2, 0.5, 1.0, 2.0)


def picture(*values: float, first: int = 0, latency_ms: float | None = None) -> LivePicture:
    """Devices p0, p1 ... with these scores."""
    count = len(values)
    return LivePicture(
        keys=[f"default/p{first + n}".encode() for n in range(count)],
        scores=np.array(values, np.float32),
        thresholds=np.full(count, 2.0, np.float32),
        score_us=np.zeros(count, np.int64),
        latencies_ms=np.array([] if latency_ms is None else [latency_ms], np.float32),
    )


def alert(device: str = "p0") -> LiveAlert:
    event = AlertEvent(
        0, "id", "default", device, "raised", 5, 5, 1, 5, 3.0, 3.0, 2.0, "zscore@1", "pump@1"
    )
    return LiveAlert(event, stale=False)


def samples(device: bytes) -> LiveSamples:
    return LiveSamples(device, ("a",), np.array([1]), np.ones((1, 1), np.float32))


def test_a_reader_gets_each_alert_once_and_asks_again_after_a_loss() -> None:
    async def run() -> None:
        hub = LiveHub()
        await hub.publish(LiveUpdate(status(), alerts=[alert(), alert("p1")]))
        first = await hub.poll("r", 1, frozenset(), 1.0)
        again = await hub.poll("r", 1, frozenset(), 1.0)
        rest = await hub.poll("r", first.next_number, frozenset(), 0.0)
        assert [a.event.device_id for a in first.alerts] == ["p0", "p1"]
        assert again.alerts == first.alerts, "a lost answer lost alerts"
        assert rest.alerts == []
        assert not first.missed_alerts

    asyncio.run(run())


def test_a_poll_waits_until_there_is_news() -> None:
    async def run() -> None:
        hub = LiveHub()
        poll = asyncio.create_task(hub.poll("r", 1, frozenset(), 5.0))
        await asyncio.sleep(0)
        assert not poll.done(), "an empty hub answered at once"
        await hub.publish(LiveUpdate(status(), alerts=[alert()]))
        assert len((await poll).alerts) == 1

    asyncio.run(run())


def test_samples_and_scores_go_only_to_those_who_watch() -> None:
    async def run() -> None:
        hub = LiveHub()
        await hub.poll("one", 1, frozenset({b"default/p0"}), 0.0)
        await hub.poll("two", 1, frozenset(), 0.0)
        update = LiveUpdate(
            status(),
            scores=[LiveScore(f"default/p{n}".encode(), 5, 1.0, 2.0, "m@1") for n in (0, 1)],
            samples=[samples(b"default/p0"), samples(b"default/p1")],
        )
        wish = await hub.publish(update)
        assert wish.watched == {b"default/p0"}, "shards are told what is watched"
        page = await hub.poll("one", 1, frozenset(), 0.0)
        assert [chunk.device for chunk in page.live] == [b"default/p0"] * 2
        assert isinstance(page.live[1], LiveScore)
        assert (await hub.poll("two", 1, frozenset(), 0.0)).live == []

    asyncio.run(run())


def test_a_slow_reader_loses_its_oldest_samples_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_hub, "LIVE_MAX", 3)

    async def run() -> None:
        hub = LiveHub()
        watching = frozenset({b"default/p0"})
        await hub.poll("r", 1, watching, 0.0)
        for _ in range(5):
            await hub.publish(LiveUpdate(status(), samples=[samples(b"default/p0")]))
        page = await hub.poll("r", 1, watching, 0.0)
        assert (len(page.live), page.dropped) == (3, 2)

    asyncio.run(run())


def test_a_reader_that_is_gone_watches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_hub, "LEASE_S", -1.0)

    async def run() -> None:
        hub = LiveHub()
        await hub.poll("r", 1, frozenset({b"default/p0"}), 0.0)
        assert (await hub.publish(LiveUpdate(status()))).watched == frozenset()

    asyncio.run(run())


def test_a_reader_behind_the_kept_alerts_is_sent_to_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_hub, "ALERTS_MAX", 2)

    async def run() -> None:
        hub = LiveHub()
        await hub.publish(LiveUpdate(status(), alerts=[alert()] * 3))
        page = await hub.poll("r", 1, frozenset(), 0.0)
        assert page.missed_alerts
        assert [a.number for a in page.alerts] == [2, 3]

    asyncio.run(run())


def test_shards_are_asked_for_pictures_more_often_while_somebody_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def period_s(hub: LiveHub) -> float:
        return (await hub.publish(LiveUpdate(status()))).picture_s

    async def run() -> None:
        hub = LiveHub()
        await hub.summary()
        assert await period_s(hub) == live_hub.PICTURE_IDLE_S, "a health check is no spectator"
        await hub.fleet()
        assert await period_s(hub) == live_hub.PICTURE_LOOKED_AT_S
        monkeypatch.setattr(live_hub, "LOOK_S", 0.0)
        assert await period_s(hub) == live_hub.PICTURE_IDLE_S
        await hub.poll("r", 1, frozenset({b"default/p0"}), 0.0)
        assert await period_s(hub) == live_hub.PICTURE_LOOKED_AT_S

    asyncio.run(run())


def test_the_table_holds_each_devices_newest_score() -> None:
    fleet = LiveFleet()
    fleet.take(LiveUpdate(status(), picture(1.0, 2.5)))
    fleet.take(LiveUpdate(status(), picture(3.0)))
    table = fleet.table()
    assert table.keys == [b"default/p0", b"default/p1"]
    assert table.scores.tolist() == [3.0, 2.5]
    assert table.thresholds.tolist() == [2.0, 2.0]


def test_a_device_that_was_only_heard_keeps_its_score() -> None:
    fleet = LiveFleet()
    fleet.take(LiveUpdate(status(), picture(1.0, 2.5)))
    heard_us = fleet.table().heard_us
    fleet.take(LiveUpdate(status(), replace(picture(), keys=[b"default/p1", b"default/p2"])))
    table = fleet.table()
    assert table.keys == [b"default/p0", b"default/p1", b"default/p2"]
    assert table.scores.tolist()[:2] == [1.0, 2.5]
    assert np.isnan(table.scores[2])
    assert table.heard_us[0] == heard_us[0]
    assert (table.heard_us[1:] > heard_us[0]).all()


def test_a_full_table_forgets_who_was_silent_longest() -> None:
    fleet = LiveFleet(devices_max=2)
    fleet.take(LiveUpdate(status(), picture(1.0, 2.0)))
    time.sleep(0.001)
    fleet.take(LiveUpdate(status(), picture(5.0)))
    fleet.take(LiveUpdate(status(), picture(7.0, first=2)))
    assert fleet.table().keys == [b"default/p0", b"default/p2"]
    assert fleet.table().scores.tolist() == [5.0, 7.0]


def test_a_picture_of_more_devices_than_the_table_holds_is_taken() -> None:
    fleet = LiveFleet(devices_max=2)
    fleet.take(LiveUpdate(status(), picture(1.0, 2.0)))
    fleet.take(LiveUpdate(status(), picture(1.0, 2.0, 3.0, 4.0)))
    assert sorted(fleet.table().keys) == [f"default/p{n}".encode() for n in range(4)]


def test_a_full_table_makes_room_for_all_of_a_picture() -> None:
    fleet = LiveFleet(devices_max=4)
    fleet.take(LiveUpdate(status(), picture(1.0, 2.0, 3.0, 4.0)))
    fleet.take(LiveUpdate(status(), picture(5.0, 6.0, 7.0, first=4)))
    assert len(fleet.table().keys) == 4
    assert set(fleet.table().keys) >= {f"default/p{n}".encode() for n in (4, 5, 6)}


def test_the_summary_adds_the_shards_up() -> None:
    fleet = LiveFleet()
    fleet.take(LiveUpdate(status(100), picture(1.0, latency_ms=20.0)))
    fleet.take(LiveUpdate(status(300)))
    fleet.take(LiveUpdate(status(7, shard="shard-1", lag=4), picture(1.0, latency_ms=40.0)))
    summary = fleet.summary()
    assert summary.lag == 7
    assert summary.samples_per_s > 0
    assert summary.latency_ms_p50 == 30.0
    assert [shard.shard for shard in summary.shards] == ["shard-0", "shard-1"]


def test_a_deleted_device_leaves_the_fleet() -> None:
    fleet = LiveFleet()
    fleet.take(LiveUpdate(status(), picture(1.0, 2.5, 3.0)))
    fleet.take(LiveUpdate(status(), forgotten=[b"default/p1", b"default/unknown"]))
    table = fleet.table()
    assert table.keys == [b"default/p0", b"default/p2"]
    assert table.scores.tolist() == [1.0, 3.0]


def test_the_fleet_is_as_far_behind_as_its_last_partition() -> None:
    fleet = LiveFleet()
    parts = tuple(
        PartitionStatus(n, 9, 3, 0, 0, "running", behind_s=behind_s)
        for n, behind_s in enumerate((0.0, 42.5))
    )
    fleet.take(LiveUpdate(replace(status(), partitions=parts)))
    assert fleet.summary().behind_s == 42.5


def test_events_are_numbered_among_the_alerts_and_kept_for_a_reader_that_asks_again() -> None:
    async def run() -> None:
        hub = LiveHub()
        gone = Presence(0, "default", "p0", "offline", 9, 5)
        await hub.publish(LiveUpdate(status(), alerts=[alert()], events=[gone]))
        await hub.publish(LiveUpdate(status(), alerts=[alert("p1")]))
        page = await hub.poll("r", 1, frozenset(), 1.0)
        assert [each.number for each in page.alerts] == [1, 3]
        assert [(each.number, each.event) for each in page.events] == [(2, gone)]
        again = await hub.poll("r", 2, frozenset(), 0.0)
        assert (again.events, len(again.alerts)) == (page.events, 1)

    asyncio.run(run())
