"""Devices leave memory and come back as if nothing had happened."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetpulse.directory import ABSENT
from fleetpulse.effects import Reason
from fleetpulse.identity import DeviceKey, partition_of
from fleetpulse.persistence import copied_states
from fleetpulse.telemetry_pb2 import Control, Forget, Pause
from fleetpulse.view import device_view, stored_place, stored_view
from tests.core.logs import (
    PARTITIONS,
    T0_US,
    Log,
    difference,
    feed,
    frame,
    fresh_engine,
)
from tests.core.shelf import Shelf
from tests.core.test_cuts import disorderly_log, pump


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_results_do_not_depend_on_what_is_in_memory(data: st.DataObject) -> None:
    log = disorderly_log(data.draw(st.integers(0, 10_000), label="log"))
    n = len(log.keys)
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=30), label="cuts"))
    random = np.random.default_rng(data.draw(st.integers(0, 10_000), label="choices"))
    shelf, begin = Shelf(), 0
    for cut in [*cuts, n]:
        shelf.feed(log.batch(begin, cut))
        begin = cut
        known = shelf.everything()
        action = random.integers(4)
        if action == 0:
            shelf.restart()
        elif action > 1:
            shelf.drop(known[random.random(len(known)) < 0.6])
    assert not difference(shelf.effects, feed(fresh_engine(), log.batch()))


def test_a_device_that_is_passive_between_all_records_is_the_same() -> None:
    log = disorderly_log(7)
    shelf = Shelf()
    for at in range(len(log.keys)):
        shelf.feed(log.batch(at, at + 1))
        shelf.drop(shelf.everything())
    assert shelf.activated > 50
    assert not difference(shelf.effects, feed(fresh_engine(), log.batch()))


def alarmed() -> tuple[Log, Shelf, np.ndarray]:
    """A passive device whose alert is open, and a passive one without."""
    rule = pump().alert.model_copy(update={"threshold": 0.01, "raise_after": 1})
    loud = pump(alert=rule)
    log = Log()
    log.profile(loud)
    log.profile(pump(name="calm"), "calm-*")
    for at in (0, 30, 60, 90):
        log.device("pump-1", frame(loud, 1, at, 30), T0_US + at * 20_000)
        log.device("calm-1", frame(pump(), 1, at, 30), T0_US + at * 20_000)
    shelf = Shelf()
    shelf.feed(log.batch())
    assert [a.kind for a in shelf.effects.alerts if a.device_id == "pump-1"] == ["raised"]
    shelf.drop(shelf.everything())
    return log, shelf, shelf.engine.directory.handles([b"default/pump-1"])


@pytest.mark.parametrize("restarted", [False, True])
def test_a_control_that_ends_a_passive_device_clears_its_alert(restarted: bool) -> None:
    log, shelf, loud = alarmed()
    if restarted:
        shelf.restart()
    begin = len(log.keys)
    log.profile(pump(revision=2), "pump-*")
    shelf.feed(log.batch(begin))
    assert shelf.activated == len(loud), "more was read than the one whose alert must be cleared"
    assert not difference(shelf.effects, feed(fresh_engine(), log.batch()))
    assert [a.kind for a in shelf.effects.alerts if a.device_id == "pump-1"] == [
        "raised",
        "cleared",
    ]
    assert shelf.engine.directory.handles([b"default/pump-1"]) == [ABSENT]


def test_deleting_a_passive_device_clears_its_alert_and_forgets_it() -> None:
    log, shelf, _ = alarmed()
    begin = len(log.keys)
    for name in ("pump-1", "calm-1"):
        forget = Forget(tenant="default", device_id=name)
        log.control(Control(id=f"forget {name}", forget=forget))
    shelf.feed(log.batch(begin))
    assert not difference(shelf.effects, feed(fresh_engine(), log.batch()))
    assert len(shelf.engine.directory) == 0


def test_what_a_paused_device_sends_does_not_wake_it() -> None:
    log, shelf, loud = alarmed()
    begin = len(log.keys)
    log.control(Control(id="stop", pause=Pause(paused=True)))
    for second in range(60):  # longer than its silence that would end a session
        log.device("pump-1", frame(pump(), 1, 120, 30), T0_US + second * 1_000_000)
        log.tick(T0_US + second * 1_000_000)
    shelf.feed(log.batch(begin))
    assert shelf.activated == 0
    begin = len(log.keys)
    log.control(Control(id="go on", pause=Pause(paused=False)))
    log.device("pump-1", frame(pump(), 1, 120, 30), T0_US + 60_000_000)
    shelf.feed(log.batch(begin))
    assert shelf.activated == len(loud)
    assert not difference(shelf.effects, feed(fresh_engine(), log.batch()))


def test_a_record_in_a_wrong_partition_wakes_nobody() -> None:
    log, shelf, loud = alarmed()
    begin, key = len(log.keys), shelf.engine.directory.keys[loud[0]]
    log.append(1 - partition_of(key, PARTITIONS), key, frame(pump(), 1, 120, 30), T0_US)
    shelf.feed(log.batch(begin))
    assert shelf.activated == 0
    assert [each.reason for each in shelf.effects.dead] == [Reason.WRONG_PARTITION]


def test_what_changed_since_it_was_stored_stays_in_memory() -> None:
    log, shelf, _ = alarmed()
    begin = len(log.keys)
    log.device("pump-1", frame(pump(), 1, 120, 30), T0_US + 120 * 20_000)
    shelf.feed(log.batch(begin))
    assert shelf.engine.directory.passivate(shelf.everything()) == 0


def test_a_copy_that_comes_late_does_not_replace_a_newer_state() -> None:
    log, shelf, loud = alarmed()
    directory = shelf.engine.directory
    shelf.awake(loud)
    directory.touch(loud, np.array([T0_US]))
    first = directory.copying(loud)
    old = copied_states(directory, loud, np.ones(1, bool))
    begin = len(log.keys)
    log.device("pump-1", frame(pump(), 1, 120, 30), T0_US + 120 * 20_000)
    shelf.feed(log.batch(begin))
    second = directory.copying(loud)
    partition = int(directory.partition_of[loud[0]])
    directory.stored(loud, first, shelf.store.put(partition, 0, old, copy=first).blobs)
    assert directory.unstored(loud).all(), "an old state was taken for the newest"
    new = copied_states(directory, loud, np.ones(1, bool))
    directory.stored(loud, second, shelf.store.put(partition, 0, new, copy=second).blobs)
    assert directory.passivate(loud) == 1


def test_a_passive_device_has_the_view_that_it_had() -> None:
    log, shelf, _ = alarmed()
    key = DeviceKey("default", "pump-1").encode()
    place = stored_place(shelf.engine, key)
    assert place is not None
    assert place.partition == partition_of(key, PARTITIONS)
    found = stored_view(key, place, shelf.store.read(place.profile, place.blob))
    awake = fresh_engine()
    feed(awake, log.batch())
    expected = device_view(awake, key)
    assert found is not None
    assert expected is not None
    assert np.array_equal(found.window, expected.window, equal_nan=True)
    assert replace(found, window=None) == replace(expected, window=None)  # type: ignore[arg-type]
    assert stored_place(shelf.engine, b"default/nobody") is None


def test_memory_follows_the_active_devices() -> None:
    log = disorderly_log(1)
    shelf = Shelf()
    shelf.feed(log.batch())
    shelf.drop(shelf.everything())
    assert [cohort.active for cohort in shelf.engine.directory.cohorts] == [0, 0]
    capacity = [len(cohort.keys) for cohort in shelf.engine.directory.cohorts]
    for handle in shelf.everything():
        shelf.awake(np.array([handle]))
        shelf.drop(np.array([handle]))
    assert [len(cohort.keys) for cohort in shelf.engine.directory.cohorts] == capacity
