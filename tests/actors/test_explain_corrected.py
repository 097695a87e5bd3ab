"""Why an alert was raised, once a recomputation has corrected the past."""

import pytest

from actors.explain import explain
from actors.explanation import Explanation
from actors.rerun import Again
from adapters.kafka.controls import publish
from adapters.postgres.alert_lookup import find_alert
from fleetpulse.errors import InputError
from fleetpulse.profile import AlertRule
from fleetpulse.recompute.job import Mark
from fleetpulse.recompute.ranges import TimeRange
from fleetpulse.telemetry_pb2 import Assignment
from tests.actors.plant import HOUR, NEXT_DAY, PARTITIONS, PROFILE, FakeModel, Plant

QUICK = AlertRule(threshold=5.0, raise_after=1, clear_after=1, dedup_s=0)


def explained(plant: Plant, alert_id: str) -> Explanation:
    alert = find_alert(plant.dsn, alert_id)
    assert alert is not None
    return explain(Again(plant.support().log, FakeModel(), PARTITIONS), alert)


def ids(plant: Plant, where: str) -> list[str]:
    return [row[0] for row in plant.rows(f"SELECT alert_id FROM alerts WHERE {where} ORDER BY 1")]


def corrected(plant: Plant, *late: int) -> None:
    """An hour in which these frames are late."""
    plant.send(*[n for n in HOUR if n not in late], *NEXT_DAY, *late)
    plant.live()
    plant.marked()
    plant.support().work()


def test_what_a_recomputation_raised_comes_again_with_the_same_bits(plant: Plant) -> None:
    corrected(plant, 100, 300)
    (live,) = ids(plant, "view_epoch = 0")[:1]
    assert explained(plant, live).run == "live"
    promoted = ids(plant, "view_epoch > 0 AND NOT withdrawn")
    assert promoted
    found = [explained(plant, each) for each in promoted]
    assert all(each.same_bits for each in found)
    assert {(each.run, each.stored.view_epoch) for each in found} == {("next", 1)}
    late = [each for each in found if any(record.late for record in each.records)]
    assert late, "a late record made one of them"
    assert late[0].decided_at == max(record.offset for record in late[0].records)
    assert late[0].scores[-1].window_end_us == late[0].stored.row.window_end_us


def test_an_alert_of_a_profile_that_was_not_there_yet_is_explained(plant: Plant) -> None:
    plant.send(*HOUR[:100])
    plant.live()
    newer = PROFILE.model_copy(update={"revision": 2, "alert": QUICK})
    publish(
        plant.settings.kafka,
        [newer],
        [Assignment(device_pattern="*", profile="pump", profile_revision=2)],
    )
    plant.send(*HOUR[100:120])
    plant.live()
    past = TimeRange(plant.t0_us, plant.t0_us + 300_000_000)
    mark = Mark("profile:1", "default", "pump-1", past, "profile")
    plant.mark(mark)
    assert plant.support().work() == 1
    promoted = ids(plant, "view_epoch > 0 AND NOT withdrawn AND profile = 'pump@2'")
    assert promoted
    found = explained(plant, promoted[0])
    assert (found.run, found.profile.ref, found.same_bits) == ("next", "pump@2", True)
    assert found.decided_at < plant.done


def test_what_came_after_the_view_was_computed_is_not_in_it(plant: Plant) -> None:
    corrected(plant, 100)
    promoted = ids(plant, "view_epoch > 0 AND NOT withdrawn")
    before = [explained(plant, each) for each in promoted]
    plant.send(101, 100, seed=2)
    plant.live()
    again = [explained(plant, each) for each in promoted]
    assert [each.records for each in again] == [each.records for each in before]
    assert all(each.same_bits for each in again)


def test_a_withdrawn_alert_is_shown_as_live_raised_it(plant: Plant) -> None:
    corrected(plant, 100, 300)
    withdrawn = ids(plant, "withdrawn")
    assert withdrawn
    found = explained(plant, withdrawn[0])
    assert (found.run, found.stored.withdrawn, found.same_bits) == ("live", True, True)


def test_one_that_a_correction_raised_and_another_withdrew_cannot_be_shown(plant: Plant) -> None:
    corrected(plant, 100, 300)
    (promoted,) = ids(plant, "view_epoch > 0 AND NOT withdrawn")[:1]
    plant.rows(f"UPDATE alerts SET withdrawn = true, view_epoch = 2 WHERE alert_id = '{promoted}'"
               " RETURNING 1")  # fmt: skip
    with pytest.raises(InputError, match="withdrawn by view 2"):
        explained(plant, promoted)
