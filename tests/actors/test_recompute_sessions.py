"""Late data in sessions, on real Kafka and PostgreSQL."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adapters.postgres.promotion import Pass, Promoted, Promotion
from adapters.postgres.reads import PostgresReads
from fleetpulse.reads import PeriodFilter, SessionRow
from fleetpulse.recompute.job import Claimed, Mark
from fleetpulse.recompute.ranges import TimeRange
from fleetpulse.telemetry_pb2 import DeviceEvent
from fleetpulse.wire import encode_block
from tests.actors.plant import FRAME, KEY, NEXT_DAY, PARTITION, PROFILE, Plant

FRAMES = list(range(60))
"""Five minutes; a session of some seconds every half minute, with pauses longer than its gap."""
BRIDGE = 8
"""A frame between the second session and the third, less than a gap from both."""


def active(plant: Plant, number: int) -> bytes:
    """A frame in which every second is active."""
    period_us = PROFILE.period_ns // 1000
    return encode_block(
        np.full((FRAME, 2), 50, np.float32),
        t0_us=plant.t0_us + number * FRAME * period_us,
        period_ns=PROFILE.period_ns,
    )


def send_bridged(plant: Plant, *, late: bool) -> None:
    """Five minutes in which one frame joins two sessions."""
    if late:
        plant.send(*FRAMES[:BRIDGE], *FRAMES[BRIDGE + 1 :], *NEXT_DAY)
        plant.produce(active(plant, BRIDGE))
    else:
        plant.send(*FRAMES[:BRIDGE])
        plant.produce(active(plant, BRIDGE))
        plant.send(*FRAMES[BRIDGE + 1 :], *NEXT_DAY)


def sessions(plant: Plant) -> list[tuple[Any, ...]]:
    """Start and end in seconds, view epoch, withdrawn."""
    found = plant.rows(
        "SELECT (extract(epoch FROM started_at) * 1000000)::bigint,"
        " (extract(epoch FROM ended_at) * 1000000)::bigint, view_epoch, withdrawn"
        " FROM sessions ORDER BY started_at, ended_at"
    )

    def second(at_us: int | None) -> int | None:
        return None if at_us is None else (at_us - plant.t0_us) // 1_000_000

    return [(second(start), second(end), *rest) for start, end, *rest in found]


def corrected(plant: Plant) -> None:
    plant.live()
    plant.marked()
    assert plant.support().work() == 1


def told(plant: Plant) -> list[DeviceEvent]:
    """Corrections of sessions on Kafka."""
    controller = plant.controller()
    while controller.publish():
        pass
    controller.close()
    assert {key for key, _ in plant.topic("events")} <= {KEY}
    return [DeviceEvent.FromString(value) for _, value in plant.topic("events")]


def test_a_late_record_joins_two_sessions(plants: Callable[[], Plant]) -> None:
    plant = plants()
    send_bridged(plant, late=False)
    plant.live()
    expected = plant.view()
    plant = plants()
    send_bridged(plant, late=True)
    corrected(plant)
    assert plant.jobs() == [("promoted", 1, 1, "")]
    assert plant.view() == expected, "bit for bit, sessions too"
    first, joined, gone, *others = sessions(plant)
    assert joined == (29, 60, 1, False)
    assert gone == (57, 60, 1, True), "the second of the two is no more"
    assert {each[2:] for each in (first, *others)} == {(0, False)}, "the others stay as they were"
    events = told(plant)
    assert [DeviceEvent.Kind.Name(each.kind) for each in events] == [
        "SESSION_ENDED",
        "SESSION_WITHDRAWN",
    ]
    assert {(each.view_epoch, each.supersedes) for each in events} == {(1, 0)}
    ended = events[0].session
    assert (ended.ended_at_us - plant.t0_us, ended.channels[0].max) == (60_000_000, 50)


def test_readers_do_not_see_what_was_withdrawn(plant: Plant) -> None:
    send_bridged(plant, late=True)
    corrected(plant)
    (gone,) = plant.rows("SELECT session_id FROM sessions WHERE withdrawn")

    async def read() -> tuple[list[SessionRow], SessionRow | None]:
        reads = PostgresReads(plant.dsn)
        listed = await reads.sessions(PeriodFilter("default"), None, 100)
        named = await reads.session("default", gone[0])
        await reads.close()
        return listed, named

    listed, named = asyncio.run(read())
    assert named is None
    assert gone[0] not in {each.session_id for each in listed}
    assert len(listed) == len(sessions(plant)) - 1


def test_a_late_record_moves_a_session_s_end(plants: Callable[[], Plant]) -> None:
    plant = plants()
    plant.send(*FRAMES, *NEXT_DAY)
    plant.live()
    expected = plant.view()
    plant = plants()
    plant.send(*[n for n in FRAMES if n != 6], *NEXT_DAY, 6)  # seconds 30 to 34; active until 31
    plant.live()
    assert sessions(plant)[1] == (29, 30, 0, False)
    plant.marked()
    plant.support().work()
    assert sessions(plant)[1] == (29, 32, 1, False)
    assert plant.view() == expected


def test_a_session_that_runs_is_ended_by_next_and_not_by_live(
    plants: Callable[[], Plant],
) -> None:
    plant = plants()
    plant.send(*FRAMES, *NEXT_DAY)
    plant.live()
    expected = plant.view()
    plant = plants()
    plant.send(*range(6), 7, 6)
    corrected(plant)
    assert [each[:3] for each in plant.jobs()] == [("following", 1, 1)]
    assert sessions(plant)[-1] == (29, None, 1, False)
    plant.send(*FRAMES[8:], *NEXT_DAY)
    plant.live()
    runs = sessions(plant)[1]
    assert runs == (29, None, 1, False), "live ended it without the late data, and was refused"
    plant.rows("UPDATE recompute_jobs SET due_at = now() RETURNING 1")
    plant.support().work()
    assert plant.jobs() == [("promoted", 2, 2, "")]
    assert sessions(plant)[1] == (29, 32, 2, False)
    assert plant.view() == expected
    kinds = [DeviceEvent.Kind.Name(each.kind) for each in told(plant)]
    assert kinds == ["SESSION_STARTED", "SESSION_ENDED"], "each is told when it is known"


def test_live_may_end_a_session_before_its_correction(plant: Plant) -> None:
    """A worker computes up to where live was, and promotes when live is further."""
    plant.send(*range(6), 7, 6)
    plant.live()
    plant.marked()
    support = plant.support()
    ready, end = support.ready(support.claim())
    found = support.compute(ready, end)
    plant.send(*FRAMES[8:], *NEXT_DAY)
    plant.live()
    assert sessions(plant)[1][:2] == (29, 30)
    support.conclude(ready, found, end)
    assert sessions(plant)[1] == (29, None, 1, False), "its end is not known yet"
    plant.rows("UPDATE recompute_jobs SET due_at = now() RETURNING 1")
    plant.support().work()
    assert sessions(plant)[1] == (29, 32, 2, False)


def test_a_promotion_that_dies_at_its_end_leaves_the_view_as_it_was(plant: Plant) -> None:
    send_bridged(plant, late=True)
    plant.live()
    plant.marked()
    support = plant.support()
    ready, end = support.ready(support.claim())
    found = support.compute(ready, end)
    before = plant.view()

    def dies(promoted: Promoted) -> list[tuple[str, int, bytes, bytes]]:
        assert [each.kind for each in promoted.sessions] == ["ended", "withdrawn"]
        raise RuntimeError("killed")

    promotion = Promotion(support.blackboard, plant.topic_id)
    with pytest.raises(RuntimeError, match="killed"):
        promotion.promote(ready[0], found[KEY], dies, Pass(end, due_s=0))
    assert plant.view() == before
    assert {each[2] for each in sessions(plant)} == {0}
    assert told(plant) == []
    time.sleep(0.35)  # the lease of the one that died
    assert plant.support().work() == 1
    assert sessions(plant)[1] == (29, 60, 1, False)
    assert len(told(plant)) == 2


def test_computing_it_once_more_changes_nothing(plant: Plant) -> None:
    send_bridged(plant, late=True)
    corrected(plant)
    before, events = sessions(plant), len(told(plant))
    mark = Mark(
        "person:1", "default", "pump-1", TimeRange(plant.t0_us, plant.t0_us + 300_000_000), "person"
    )
    plant.mark(mark)
    assert plant.support().work() == 1
    assert sessions(plant) == before
    assert len(told(plant)) == events


def test_a_worker_knows_since_when_a_session_goes_on(plant: Plant) -> None:
    send_bridged(plant, late=True)
    plant.live()

    def begin(from_s: int) -> float | None:
        changed = TimeRange(plant.t0_us + from_s * 1_000_000, plant.t0_us + 300_000_000)
        job = Claimed(1, "default", "pump-1", PARTITION, changed, "late", 1, 1, 0, 0, 0, 0)
        found = plant.support().blackboard.session_begin(job, PROFILE)
        return None if found is None else (found - plant.t0_us) / 1_000_000

    assert [begin(second) for second in (0, 30, 51, 53, 58)] == [None, 29, 29, None, 57]
