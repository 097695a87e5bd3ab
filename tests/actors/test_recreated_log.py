"""The telemetry topic is made anew: jobs of the old log end, its offsets mean nothing any more."""

import time

import pytest
from confluent_kafka.admin import AdminClient

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.controls import publish
from adapters.postgres.blackboard import RECREATED
from fleetpulse.engine import Engine, PartitionState
from fleetpulse.recompute.job import Mark
from fleetpulse.recompute.ranges import TimeRange
from fleetpulse.telemetry_pb2 import Assignment
from tests.actors.plant import HOUR, NEXT_DAY, PARTITION, PARTITIONS, PROFILE, Plant


def begin_anew(plant: Plant) -> None:
    """Another telemetry topic; the others and the database stay."""
    settings = plant.settings.kafka
    name = settings.topic("telemetry")
    client = AdminClient({"bootstrap.servers": settings.servers})
    client.delete_topics([name])[name].result(10)
    deadline = time.monotonic() + 20
    while name in client.list_topics(timeout=10).topics:
        assert time.monotonic() < deadline, "a deleted topic is still listed"
    admin = KafkaAdmin(settings)
    admin.create_topics()
    publish(settings, [PROFILE], [Assignment(device_pattern="*", profile="pump")])
    plant.topic_id, plant.done, plant.engine = admin.topic_id(), 0, Engine(PARTITIONS)
    plant.engine.partitions[PARTITION] = PartitionState()


@pytest.mark.parametrize("computed", [False, True])
def test_jobs_end_with_their_log_and_the_new_one_has_its_own(plant: Plant, computed: bool) -> None:
    plant.send(*[n for n in HOUR[:300] if n != 100], 100)
    before = plant.live()
    plant.marked()
    if computed:
        plant.support().work()
    passes = int(computed)
    hidden = "SELECT count(*) FROM rollup_hour WHERE withheld"
    assert [each[1] for each in plant.jobs()] == [passes]
    assert plant.rows(hidden) == [(passes,)]
    begin_anew(plant)
    plant.send(*[n for n in HOUR[:300] if n != 100], 100, *NEXT_DAY)
    after = plant.live()
    assert after.late[0].offset == before.late[0].offset, "another place: nothing was tested"
    plant.marked()
    found = plant.jobs()
    assert [each[:2] for each in found] == [("failed", passes), ("marked", 0)]
    assert found[0][3] == RECREATED
    assert plant.rows(hidden) == [(0,)], "what no job will show again is hidden"
    plant.support().work()
    of_new, of_old = sorted(each[3] for each in plant.jobs())
    assert of_old == RECREATED
    assert of_new.startswith("all of it stays"), "it waits, or took the log for one that has all"


def test_what_an_earlier_log_had_corrected_stays(plant: Plant) -> None:
    plant.send(*[n for n in HOUR if n not in (100, 300)], *NEXT_DAY, 100, 300)
    plant.live()
    plant.marked()
    plant.support().work()
    assert plant.rows("SELECT count(*) FROM alerts WHERE view_epoch > 0 AND NOT withdrawn")[0][0]
    begin_anew(plant)
    plant.send(NEXT_DAY[0] + 100)
    plant.live()
    view = plant.view()
    past = TimeRange(plant.t0_us, plant.t0_us + 3_600_000_000)
    plant.mark(Mark("person:1", "default", "pump-1", past, "person"))
    assert plant.support().work() == 1
    assert ("failed", 0) in [each[:2] for each in plant.jobs()]
    assert plant.view() == view, "what is not in the new log was withdrawn"


def test_a_late_record_that_nobody_had_read_of_the_old_log_does_not_wait_for_ever(
    plant: Plant,
) -> None:
    plant.send(*[n for n in HOUR[:60] if n != 10], 10)
    plant.live()
    begin_anew(plant)
    plant.live()
    plant.marked()
    for _ in range(5):
        plant.rows("UPDATE recompute_jobs SET due_at = now() RETURNING 1")
        plant.support().work()
    (state, passes, _, error) = plant.jobs()[0]
    assert (state, passes) == ("failed", 0)
    assert "was the telemetry topic re-created" in error
