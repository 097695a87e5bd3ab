"""A shard with hardly any memory for devices gives the results of one with plenty."""

import numpy as np
import pytest

from actors.activation import Activation, Fetched
from fleetpulse.columns import Arrays
from fleetpulse.errors import DamagedState, PartitionStopped
from fleetpulse.identity import TICK_KEY
from fleetpulse.ports import SnapshotStore
from fleetpulse.profile import Profile
from fleetpulse.snapshot import Blobs
from tests.actors.incarnations import SINKS, World
from tests.core.logs import PARTITIONS, feed, fresh_engine, per_device
from tests.core.test_cuts import disorderly_log


@pytest.fixture
def activated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many devices came back, by fetch."""
    counts: list[int] = []
    fetch = Activation.fetch

    def counting(
        self: Activation, handles: np.ndarray
    ) -> tuple[list[Fetched], list[PartitionStopped]]:
        counts.append(len(handles))
        return fetch(self, handles)

    monkeypatch.setattr(Activation, "fetch", counting)
    return counts


@pytest.mark.parametrize("seed", range(4))
def test_results_do_not_depend_on_the_memory(seed: int, activated: list[int]) -> None:
    log = disorderly_log(seed)
    world = World(log, seed, failure_rate=0.05 if seed else 0.0)
    world.memory_bytes = 1
    world.poll_records = 3
    world.run()
    assert sum(activated) > 5, "no device was ever passive"
    expected = per_device(feed(fresh_engine(), log.batch()))
    for name in SINKS:
        assert per_device(world.tables[name].written) == expected, f"sink {name}, seed {seed}"


def test_silent_devices_leave_memory_and_are_seen_by_their_handles() -> None:
    log = disorderly_log(1)
    world = World(log, 1, failure_rate=0.0)
    world.idle_s = 100.0
    loop, _, close = world.incarnation()
    for _ in range(60):
        loop.turn()
    awake = {key: loop.view(key) for key in log.keys if b"/" in key}
    for partition in range(PARTITIONS):
        world.log.append(partition, max(log.log_time_us) + 200_000_000, TICK_KEY, b"")
    directory = loop._engine.directory
    for _ in range(2000):
        loop.turn()
        if directory.passive_total == len(directory):
            break
    assert directory.passive_total == len(directory) == 5
    assert directory.row_bytes_used == 0
    for key, (here, before) in awake.items():
        still_here, after = loop.view(key)
        assert here
        assert still_here
        assert before is not None
        assert after is not None
        assert np.array_equal(after.window, before.window, equal_nan=True)
        assert (after.score, after.last_us) == (before.score, before.last_us)
    close()


def test_a_state_that_cannot_be_read_stops_its_partition_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = disorderly_log(1)
    world = World(log, 1, failure_rate=0.0)
    world.memory_bytes = 1
    world.poll_records = 3
    loop, _, close = world.incarnation()
    store: SnapshotStore = loop._parts.snapshots
    read = store.read
    fate: list[str] = []

    def damaged(profile: Profile, blobs: Blobs) -> Arrays:
        if not fate:
            fate.append("damaged")
            raise DamagedState("a bit flipped")
        return read(profile, blobs)

    monkeypatch.setattr(store, "read", damaged)
    for _ in range(400):
        loop.turn()
    close()
    ((stopped, reason),) = loop._ownership.stopped.items()
    assert "a bit flipped" in reason
    other = 1 - stopped
    claim = world.tables["kafka"].claims[other]
    assert claim.next_offset == len(world.log.records[other]), "the other partition stood still"


def test_a_recovery_says_how_long_it_took(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log = disorderly_log(1)
    world = World(log, 1, failure_rate=0.0)
    world.run()
    loop, reader, close = world.incarnation()
    for _ in range(60):
        loop.turn()
    reader.close()  # with a snapshot of everything
    close()
    loop, _, close = world.incarnation()
    loop.turn()
    loop.turn()
    close()
    lines = [line for line in caplog.messages if "is restored at offset" in line][-PARTITIONS:]
    counts = [int(line.split(": ")[1].split(" devices")[0]) for line in lines]
    assert sum(counts) == 5, lines
    assert all(own.restore_s > 0 for own in loop._ownership.owned.values())
