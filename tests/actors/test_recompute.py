"""Late data on real Kafka and PostgreSQL: marked, computed, promoted, told; whoever dies."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from fleetpulse.errors import Fenced
from fleetpulse.telemetry_pb2 import Alert, Rollup, Score
from tests.actors.plant import HOUR, KEY, NEXT_DAY, Plant, collect, orderly


def test_late_data_appears_in_the_view_as_if_it_had_come_in_time(
    plants: Callable[[], Plant],
) -> None:
    expected = orderly(plants)
    plant = plants()
    plant.send(*[n for n in HOUR if n not in (100, 101, 300)], *NEXT_DAY, 101, 100, 300)
    assert len(plant.live().late) == 3
    before = plant.view()
    plant.marked()
    assert [each[:2] for each in plant.jobs()] == [("marked", 0)]
    assert plant.view() == before
    assert plant.support().work() == 1
    assert plant.jobs() == [("promoted", 1, 1, "")]
    assert plant.view() == expected, "bit for bit"
    assert len(expected) > 61, "minutes, an hour and alerts were compared"
    epochs = {number: row[0] for number, row in plant.minutes().items()}
    assert {epochs[8], epochs[25]} == {1}
    assert (epochs[3], epochs[40]) == (0, 0)


def test_corrections_reach_kafka_under_the_same_keys(plant: Plant) -> None:
    plant.send(*[n for n in HOUR if n != 100], 100)
    plant.live()
    plant.marked()
    plant.support().work()
    controller = plant.controller()
    assert controller.publish()
    while controller.publish():
        pass
    controller.close()
    assert plant.rows("SELECT count(*) FROM recompute_outbox") == [(0,)]
    minutes = [Rollup.FromString(v) for _, v in plant.topic("aggregates.minute")]
    seconds = [Rollup.FromString(v) for _, v in plant.topic("aggregates.second")]
    scores = [Score.FromString(v) for _, v in plant.topic("scores")]
    assert {key for key, _ in plant.topic("aggregates.minute")} == {KEY}
    minute = plant.t0_us + 8 * 60_000_000
    assert [(m.bucket_us, m.view_epoch, m.supersedes) for m in minutes] == [(minute, 1, 0)]
    assert len(seconds) >= 5, "each second of the late frame, and where its windows end"
    assert all(minute <= s.bucket_us < minute + 60_000_000 for s in seconds)
    assert scores
    assert {s.view_epoch for s in scores} == {1}
    alerts = [Alert.FromString(v) for _, v in plant.topic("alerts")]
    assert all(a.view_epoch == 1 for a in alerts)
    assert {Alert.RAISED, Alert.WITHDRAWN} <= {a.kind for a in alerts}
    assert len(alerts) < 20, "only those that are other than live's"


def test_an_open_hour_shows_neither_live_s_nor_half_a_correction(plant: Plant) -> None:
    whole = HOUR[: 12 * 50]
    plant.send(*[n for n in whole if n != 100], 100)
    plant.live()
    plant.marked()
    plant.support().work()
    assert [each[:3] for each in plant.jobs()] == [("following", 1, 1)]
    assert plant.minutes()[8][2] == [600, 600], "the minute is whole"
    assert plant.rows("SELECT withheld, view_epoch FROM rollup_hour") == [(True, 1)]
    plant.send(*HOUR[12 * 50 :])
    plant.live()
    assert plant.rows("SELECT withheld, view_epoch FROM rollup_hour") == [(True, 1)], (
        "live has closed the hour without the late data, and nobody sees it"
    )
    plant.rows("UPDATE recompute_jobs SET due_at = now() RETURNING 1")
    plant.support().work()
    found = plant.rows("SELECT withheld, view_epoch, count[1] FROM rollup_hour")
    assert found == [(False, 2, 36_000)]


def test_a_newer_controller_fences_the_older_one(plant: Plant) -> None:
    plant.send(*[n for n in HOUR[:40] if n != 7], 7)
    plant.live()
    older, newer = plant.controller(), plant.controller()
    with pytest.raises(Fenced):
        collect(older)
    assert plant.jobs() == []
    collect(newer)
    older.close()
    newer.close()
    assert plant.rows("SELECT marks FROM recompute_jobs") == [(1,)]


def test_whoever_dies_between_two_steps_is_followed_by_another(
    plants: Callable[[], Plant],
) -> None:
    expected = orderly(plants)
    plant = plants()
    plant.send(*[n for n in HOUR if n not in (7, 100)], *NEXT_DAY, 100, 7)
    plant.live()
    for _ in range(2):
        plant.controller().close()  # a controller that claims and dies
    plant.marked()
    again = plant.controller()
    assert again.collect(0.5) == 0, "marks are made once"
    again.close()
    assert [row[0] for row in plant.rows("SELECT marks FROM recompute_jobs")] == [1]
    claims = plant.support()
    assert claims.claim()
    assert not plant.support().claim(), "a job is one worker's"
    time.sleep(0.35)  # its lease
    computes = plant.support()
    jobs = computes.claim()
    assert [job.attempts for job in jobs] == [1]
    ready, end = computes.ready(jobs)
    stale = computes.compute(ready, end)
    time.sleep(0.35)
    promotes = plant.support()
    jobs = promotes.claim()
    ready, end = promotes.ready(jobs)
    promotes.conclude(ready, promotes.compute(ready, end), end)
    view = plant.view()
    assert view == expected
    lost = replace(jobs[0], lease_epoch=jobs[0].lease_epoch - 1)
    with pytest.raises(Fenced):
        computes.promote(lost, stale[KEY], end)
    computes.conclude([lost], stale, end)
    assert plant.view() == view, "a worker that lost its lease promotes nothing"
    assert plant.rows("SELECT view_epoch FROM recompute_views") == [(1,)]
