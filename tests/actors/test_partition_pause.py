"""A partition that a person has paused: its shard keeps it, fetches nothing, goes on later."""

import time
from collections.abc import Callable

from actors.shard_loop import ShardLoop
from actors.status import shard_status
from fleetpulse.ports import PartitionPause
from tests.actors.incarnations import World
from tests.core.logs import PARTITIONS, feed, fresh_engine, per_device
from tests.core.test_cuts import disorderly_log

PAUSE = PartitionPause("ada", 1_790_000_000_000_000)


def test_a_paused_partition_waits_and_loses_nothing() -> None:
    log = disorderly_log(4)
    world = World(log, 4, failure_rate=0.0)
    world.pauses = {0: PAUSE}
    loop, reader, close = world.incarnation()
    ownership = loop._parts.ownership
    turn_until(loop, lambda: ownership.owned[1].next_offset == len(world.log.records[1]))
    assert ownership.owned[0].next_offset == 0, "records of a paused partition were taken"
    status = shard_status(
        loop._meter, loop._engine, ownership, loop._commit,
        lambda partition: len(world.log.records[partition]),
        full=loop.full, pauses=world.pauses,
    )  # fmt: skip
    assert [part.state for part in status.partitions] == ["paused", "running"]
    assert "ada" in status.partitions[0].remedy
    assert status.partitions[0].lag == len(world.log.records[0])
    world.pauses = {}
    turn_until(loop, lambda: world.finished)
    close()
    reader.close()
    expected = per_device(feed(fresh_engine(), log.batch()))
    assert per_device(world.written()) == expected


def turn_until(loop: ShardLoop, reached: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    loop.turn()
    while not reached():
        assert time.monotonic() < deadline_s, "it does not go on"
        loop.turn()


def test_a_pause_holds_for_the_next_incarnation() -> None:
    world = World(disorderly_log(5), 5, failure_rate=0.0)
    world.pauses = dict.fromkeys(range(PARTITIONS), PAUSE)
    for _ in range(2):
        loop, reader, close = world.incarnation()
        for _ in range(5):
            loop.turn()
        assert {own.next_offset for own in loop._parts.ownership.owned.values()} == {0}
        close()
        reader.close()
