"""What a shard tells the hub: of each device the newest, of watched ones all, alerts at once."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from actors import picture
from actors.feed import BATCHES_MAX, CROWD, LiveFeed
from actors.live_hub import LiveHub
from actors.picture import Picture, decided
from fleetpulse.effects import AlertEvent, Effects, Forgotten, Presence, RollupRows, ScoreRows
from fleetpulse.engine import Engine
from fleetpulse.live import LiveUpdate, LiveWish, ShardStatus
from fleetpulse.profile import AlertRule, Profile

PUMP = Profile(name="pump", channels=("a",), rate_hz=1, alert=AlertRule(threshold=2.0))
STATUS = ShardStatus("shard-0", 1, (), 1, 2, 3, 4, 0, 0, 2, 0.5, 1.0, 2.0)
NOBODY = LiveWish(frozenset(), picture_s=60.0)


def scored(end_us: int = 0, **scores: float) -> Effects:
    """A step that scored a window of each of these devices."""
    ends_us = np.full(len(scores), end_us, np.int64)
    rows = ScoreRows(
        profile=PUMP,
        partitions=np.zeros(len(scores), np.int32),
        devices=[f"default/{device}".encode() for device in scores],
        window_start_us=ends_us,
        window_end_us=ends_us,
        scores=np.array(list(scores.values()), np.float32),
        model="zscore@1",
        threshold=2.0,
    )
    return Effects(scores=[rows])


def second(*devices: str) -> Effects:
    """A step that closed a second of these devices."""
    count = len(devices)
    whole, real = np.zeros(count, np.int32), np.zeros(count)
    per_channel = np.zeros((count, 1))
    rows = RollupRows(
        "second", PUMP, whole, [f"default/{device}".encode() for device in devices],
        np.zeros(count, np.int64), np.zeros((count, 1), np.int32),
        per_channel, per_channel, per_channel, per_channel, whole, whole, real, real, real, real,
    )  # fmt: skip
    return Effects(rollups=[rows])


def alert(at_us: int = 5) -> AlertEvent:
    return AlertEvent(
        0, "id", "default", "p0", "raised", at_us, at_us, 1, 5, 3.0, 3.0, 2.0, "zscore@1", "pump@1"
    )


def deleted(device: str) -> Effects:
    return Effects(forgotten=[Forgotten(0, 1, 1, "default", device)])


@dataclass
class Hub:
    """Notes what it is told, unless it is away."""

    wish: LiveWish = NOBODY
    away: bool = False
    told: list[LiveUpdate] = field(default_factory=list)

    def publish(self, update: LiveUpdate) -> LiveWish:
        if self.away:
            raise ValueError("no hub")
        self.told.append(update)
        return self.wish


@contextmanager
def feeding(publish: Callable[[LiveUpdate], LiveWish]) -> Iterator[LiveFeed]:
    feed = LiveFeed(Engine(1), publish, stale_after_s=60)
    feed.start(lambda: STATUS)
    try:
        yield feed
    finally:
        feed.close()


def until(condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_a_picture_holds_each_device_once_as_of_its_newest_score() -> None:
    hub = Hub()
    with feeding(hub.publish) as feed:
        until(lambda: hub.told)
        feed.decided(scored(10, p0=1.0, p1=2.5))
        feed.decided(second("p2", "p1"))
        feed.decided(scored(20, p1=0.5))
        feed.decided(scored(15, p3=4.0))
    (told,) = hub.told[1:]
    assert told.picture is not None
    assert told.picture.keys == [f"default/p{n}".encode() for n in (0, 1, 3, 2)]
    assert told.picture.scores.tolist() == [1.0, 0.5, 4.0]
    assert told.picture.thresholds.tolist() == [2.0] * 3
    assert told.picture.score_us.tolist() == [10, 20, 15]
    assert told.status == STATUS


def test_steps_between_two_pictures_are_not_lost_however_many() -> None:
    hub = Hub()
    with feeding(hub.publish) as feed:
        until(lambda: hub.told)
        for n in range(3 * BATCHES_MAX):
            feed.decided(scored(p0=n) if n % 2 else scored(0, **{f"q{n}": 1.0}))
            if n % 32 == 0:
                until(lambda: len(feed._decided) < CROWD)  # the thread is behind, not starved
    (told,) = hub.told[1:]
    assert told.picture is not None
    assert len(told.picture.keys) == 1 + 3 * BATCHES_MAX // 2
    newest = dict(zip(told.picture.keys, told.picture.scores.tolist(), strict=True))
    assert newest[b"default/p0"] == 3 * BATCHES_MAX - 1


def test_every_score_of_a_watched_device_is_told_and_of_no_other() -> None:
    hub = Hub(LiveWish(frozenset({b"default/p0"}), picture_s=60.0))
    with feeding(hub.publish) as feed:
        until(lambda: hub.told)
        for n in range(500):
            feed.decided(scored(n, p0=n, p1=1.0))
            if n % 32 == 0:
                until(lambda: len(feed._decided) < CROWD)
    told = [each for update in hub.told for each in update.scores]
    assert [each.end_us for each in told] == list(range(500))
    assert [each.score for each in told] == list(range(500))
    assert {each.device for each in told} == {b"default/p0"}


def test_alerts_do_not_wait_for_the_picture() -> None:
    hub = Hub()
    with feeding(hub.publish) as feed:
        until(lambda: hub.told)
        feed.decided(scored(p0=1.0))
        feed.committed(Effects(alerts=[alert()]))
        until(lambda: feed.told)
        (told,) = hub.told[1:]
        assert [each.event for each in told.alerts] == [alert()]
        assert (told.picture, told.status) == (None, None)
        feed.committed(deleted("p1"))
        until(lambda: len(hub.told) == 4)
    assert hub.told[3].forgotten == [b"default/p1"]
    assert hub.told[4].picture is not None, "the picture is told at last"


def test_an_alert_goes_ahead_of_a_picture_that_is_due() -> None:
    hub = Hub()
    feed = LiveFeed(Engine(1), hub.publish, stale_after_s=60)
    feed.committed(Effects(alerts=[alert()]))
    feed.start(lambda: STATUS)
    until(lambda: len(hub.told) == 2)
    feed.close()
    assert [(len(each.alerts), each.picture is None) for each in hub.told[:2]] == [
        (1, True),
        (0, False),
    ]


def test_pictures_come_as_often_as_the_hub_wants() -> None:
    hub = Hub(LiveWish(frozenset(), picture_s=0.2))
    with feeding(hub.publish):
        time.sleep(1.1)
        assert 2 <= len(hub.told) <= 6
        assert all(each.picture and each.status for each in hub.told)


def test_alerts_of_long_ago_are_published_as_stale() -> None:
    hub = Hub()
    now_us = time.time_ns() // 1000
    with feeding(hub.publish) as feed:
        ages_s = (1, 59, 61)
        feed.committed(Effects(alerts=[alert(now_us - age_s * 1_000_000) for age_s in ages_s]))
    told = [each for update in hub.told for each in update.alerts]
    assert [each.stale for each in told] == [False, False, True]


def test_another_hub_gets_the_picture_that_the_first_one_missed() -> None:
    hub, other = Hub(LiveWish(frozenset(), picture_s=0.0)), LiveHub()
    found = [hub.publish]

    def publish(update: LiveUpdate) -> LiveWish:
        return found[-1](update)

    with feeding(publish) as feed:
        until(lambda: hub.told)
        hub.away = True
        feed.decided(scored(10, p0=1.0, p1=2.0))
        feed.committed(Effects(alerts=[alert()]))
        feed.committed(deleted("p2"))
        time.sleep(0.1)
        assert not feed.told
        feed.decided(scored(20, p1=3.0))
        found.append(lambda update: asyncio.run(other.publish(update)))
        until(lambda: feed.told)
    _, table = asyncio.run(other.fleet())
    assert dict(zip(table.keys, table.scores.tolist(), strict=True)) == {
        b"default/p0": 1.0,
        b"default/p1": 3.0,
    }
    page = asyncio.run(other.poll("r", 1, frozenset(), 0.0))
    assert [each.event for each in page.alerts] == [alert()]


def test_a_deleted_device_does_not_come_back_with_the_next_picture() -> None:
    hub = LiveHub()
    with feeding(lambda update: asyncio.run(hub.publish(update))) as feed:
        feed.decided(scored(10, p0=1.0, p1=2.0))
        feed.decided(second("p0"))
        feed.committed(deleted("p0"))
    _, table = asyncio.run(hub.fleet())
    assert table.keys == [b"default/p1"]


def test_a_deletion_keeps_its_place_among_the_events() -> None:
    silent = Presence(0, "default", "p0", "offline", 9, 5)
    again = Presence(0, "default", "p0", "offline", 99, 50)
    hub = Hub()
    with feeding(hub.publish) as feed:
        for effects in (Effects(presences=[silent]), deleted("p0"), Effects(presences=[again])):
            feed.committed(effects)
    told = [each for update in hub.told for each in update.events]
    assert told == [silent, *deleted("p0").forgotten, again]


def test_latency_ends_when_the_shard_decided_not_when_the_hub_heard() -> None:
    drawn = Picture()
    now_us = time.time_ns() // 1000
    steps = [(20_000, 0), (50_000, 0), (120_000_000, 0), (-5, 0)]  # the last two: replayed, ahead
    drawn.take(
        [
            step
            for behind_us, _ in steps
            if (step := decided(scored(now_us - behind_us, p0=1.0), now_us))
        ]
    )
    assert drawn.drawn().latencies_ms.tolist() == [20.0, 50.0]
    hub = Hub(replace(NOBODY, picture_s=0.5))
    with feeding(hub.publish) as feed:
        until(lambda: hub.told)
        feed.decided(scored(time.time_ns() // 1000 - 1000, p0=1.0))
        until(lambda: len(hub.told) > 1)
    (latency_ms,) = hub.told[1].picture.latencies_ms.tolist() if hub.told[1].picture else []
    assert 1 <= latency_ms < 250, "the wait for the next push counts as latency"


def test_latencies_are_thinned_to_a_bound() -> None:
    drawn = Picture()
    many = {f"p{n}": 1.0 for n in range(10_000)}
    for behind_us in (10_000, 30_000):
        step = decided(scored(10**15, **many), 10**15 + behind_us)
        assert step is not None
        drawn.take([step])
    latencies_ms = drawn.drawn().latencies_ms
    assert 0 < len(latencies_ms) <= picture.LATENCIES_MAX
    assert set(latencies_ms.tolist()) == {10.0, 30.0}


def test_a_picture_that_nobody_takes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "DEVICES_MAX", 3)
    hub = Hub(away=True)
    feed = LiveFeed(Engine(1), hub.publish, stale_after_s=60)
    feed.decided(second("p0", "p1", "p2"))
    feed.start(lambda: STATUS)
    time.sleep(0.1)
    hub.away = False
    feed.decided(second("p3"))
    feed.close()
    (told,) = hub.told
    assert told.picture is not None
    assert told.picture.keys == [b"default/p3"]
