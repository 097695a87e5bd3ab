"""A group of shards through any life: they join, leave, die, hang and come back; sinks refuse
or answer nothing; snapshots are lost; all of it also while another recovers.

Three things must hold whatever happens: each result is in each sink once, every partition goes
on being fetched, and no shard dies again and again of the same cause.
"""

import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from actors.shard_loop import ShardLoop
from adapters.memory.log import MemoryLogReader
from fleetpulse.errors import Fenced, RetryLater
from tests.actors.incarnations import SINKS, FakeModel, InjectedBug, World
from tests.actors.test_exactly_once import ModelThatFailsOnce
from tests.core.logs import PARTITIONS, Log, feed, fresh_engine, per_device
from tests.core.test_cuts import disorderly_log

SHARDS_MAX = 3
TURNS_MAX = 3000
DEATHS_MAX = 6
"""Of shards, once nothing is broken any more: each may learn of one loss per partition."""
ENDS = (Fenced, RetryLater, InjectedBug)
"""What ends an incarnation."""
BEFORE, AFTER = 0.25, 0.75
"""Where a sink's write fails, as FailingSink reads it at a rate of a half."""


class Fates(random.Random):
    """The next writes fail as ordered; all others succeed."""

    def __init__(self) -> None:
        super().__init__(0)
        self.ordered: deque[float] = deque()

    def random(self) -> float:
        return self.ordered.popleft() if self.ordered else 1.0


@dataclass(eq=False)
class Shard:
    loop: ShardLoop
    reader: MemoryLogReader
    end_threads: Callable[[], None]


class GroupLife(RuleBasedStateMachine):
    """Shards take turns in one thread; their sinks and snapshots have threads of their own.

    So no rule may have a precondition: whether a shard is alive is not the same in every run.
    """

    @initialize(seed=st.integers(0, 7))
    def begin(self, seed: int) -> None:
        self.whole = disorderly_log(seed)
        self.world = World(Log(), seed, failure_rate=0.5)
        self.fates = Fates()
        self.world._chance = self.fates
        self.arrived = 0
        self.shards: list[Shard] = []
        self.zombies: list[Shard] = []
        self.deaths = 0
        self.a_shard_joins()

    @rule(count=st.integers(1, 80))
    def records_arrive(self, count: int) -> None:
        end = min(self.arrived + count, len(self.whole.keys))
        for i in range(self.arrived, end):
            log = self.whole
            self.world.log.append(log.partitions[i], log.log_time_us[i], log.keys[i], log.values[i])
        self.arrived = end

    @rule()
    def a_shard_joins(self) -> None:
        if len(self.shards) < SHARDS_MAX:
            self.shards.append(Shard(*self.world.incarnation()))

    @rule(which=st.integers(0, SHARDS_MAX - 1), turns=st.integers(1, 12))
    def a_shard_works(self, which: int, turns: int) -> None:
        for _ in range(turns):
            self.turn(which)

    @rule(which=st.integers(0, SHARDS_MAX - 1))
    def a_shard_leaves(self, which: int) -> None:
        if not self.shards:
            return
        shard = self.shards.pop(which % len(self.shards))
        shard.loop.stop()
        with suppress(*ENDS):  # it drops what it has; its successor begins where the sinks are
            shard.loop.run()
        self.bury(shard)

    @rule(which=st.integers(0, SHARDS_MAX - 1))
    def a_shard_is_killed(self, which: int) -> None:
        if self.shards:
            shard = self.shards.pop(which % len(self.shards))
            self.forget(shard)
            shard.end_threads()

    @rule(which=st.integers(0, SHARDS_MAX - 1))
    def a_shard_hangs_until_others_have_its_partitions(self, which: int) -> None:
        if self.shards and len(self.zombies) < 2:
            zombie = self.shards.pop(which % len(self.shards))
            self.forget(zombie)
            self.zombies.append(zombie)

    @rule(turns=st.integers(1, 6))
    def a_zombie_wakes(self, turns: int) -> None:
        if not self.zombies:
            return
        zombie = self.zombies[0]
        zombie.reader._rebalance = lambda: None  # type: ignore[method-assign]  # it has not heard
        try:
            for _ in range(turns):
                zombie.loop.turn()
        except ENDS:
            self.zombies.remove(zombie)
            zombie.end_threads()

    @rule(where=st.sampled_from([BEFORE, AFTER]), writes=st.integers(0, 6))
    def a_sink_will_fail(self, where: float, writes: int) -> None:
        self.fates.ordered.extend([1.0] * writes + [where])

    @rule(call=st.integers(1, 4))
    def the_model_will_fail(self, call: int) -> None:
        # Once in a life: what fails again with one record alone is that record's fault.
        if type(self.world.model) is FakeModel:
            self.world.model = ModelThatFailsOnce(call)

    @rule(partition=st.integers(0, PARTITIONS - 1), all_of_them=st.booleans(), torn=st.booleans())
    def snapshots_are_lost(self, partition: int, all_of_them: bool, torn: bool) -> None:
        files = self.world.files
        names = [
            each.name
            for each in files.ls(f"partition-{partition:04d}")
            if each.name.endswith(".snapshot")
        ]
        for name in names if all_of_them else names[-1:]:
            whole = files.read(name)[0]
            files.remove(name)
            if torn:
                files.write(name, [bytes(whole[: len(whole) // 2])])

    def turn(self, which: int) -> None:
        """One turn of a shard; when it dies, its process begins anew, as DeviceShard does."""
        if not self.shards:
            return
        shard = self.shards[which % len(self.shards)]
        try:
            shard.loop.turn()
        except ENDS:
            self.deaths += 1
            self.shards.remove(shard)
            self.bury(shard)
            self.a_shard_joins()

    def bury(self, shard: Shard) -> None:
        try:
            shard.reader.close()
        except ENDS:
            self.forget(shard)
        shard.end_threads()

    def forget(self, shard: Shard) -> None:
        """As the broker does when it hears nothing more: the partitions are free."""
        log = self.world.log
        with log.changed:
            log.members = [each for each in log.members if each is not shard.reader]
            log.owners = {p: each for p, each in log.owners.items() if each is not shard.reader}

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.records_arrive(len(self.whole.keys))
        self.fates.ordered.clear()
        if not self.shards:
            self.a_shard_joins()
        self.deaths = 0
        self.work_to_the_end()
        self.check("after all shards came through")
        while self.zombies:
            zombies = len(self.zombies)
            self.a_zombie_wakes(20)
            if len(self.zombies) == zombies:
                self.zombies.pop(0).end_threads()
        self.check("after the zombies woke")
        for shard in self.shards:
            shard.end_threads()

    def work_to_the_end(self) -> None:
        for turns in range(TURNS_MAX):
            if self.world.finished:
                return
            self.turn(turns)
            assert self.deaths <= DEATHS_MAX, "shards die again and again although nothing fails"
        behind = {
            name: {p: table.claims.get(p) for p in range(PARTITIONS)}
            for name, table in self.world.tables.items()
        }
        ends = [len(records) for records in self.world.log.records]
        raise AssertionError(f"a partition is not fetched any more: {behind} of {ends}")

    def check(self, when: str) -> None:
        expected = per_device(feed(fresh_engine(), self.whole.batch()))
        for name in SINKS:
            written = per_device(self.world.tables[name].written)
            assert written == expected, f"sink {name} lost or doubled results {when}"


GroupLife.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    # Threads make no two runs alike, so looking for a smaller example leads astray.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
TestGroupLife = GroupLife.TestCase
