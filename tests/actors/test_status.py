"""What a shard tells of its partitions' snapshots."""

import time

from actors.shard_loop import ShardLoop
from actors.status import shard_status
from fleetpulse.live import PartitionStatus
from tests.actors.incarnations import World
from tests.core.test_cuts import disorderly_log


def of_partition(loop: ShardLoop, partition: int) -> PartitionStatus:
    ownership = loop._parts.ownership
    status = shard_status(
        loop._meter, loop._engine, ownership, loop._commit, lambda _: None, full=False, pauses={}
    )
    return status.partitions[partition]


def test_a_snapshots_age_begins_when_it_is_valid() -> None:
    world = World(disorderly_log(4), 4, failure_rate=0.0)
    loop, reader, close = world.incarnation()
    loop.turn()
    own = loop._parts.ownership.owned[0]
    own.saved_s -= 100
    assert of_partition(loop, 0).snapshot_age_s >= 100, "counted from the take-over until then"
    deadline_s = time.monotonic() + 20
    while not own.snapshot_offset and time.monotonic() < deadline_s:
        loop.turn()
    assert of_partition(loop, 0).snapshot_age_s < 100
    own.busy_s = 0.75
    assert of_partition(loop, 0).replay_s == 0.75
    reader.close()
    close()
