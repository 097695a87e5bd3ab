"""An engine through any life: arrivals, controls, restarts, partitions that move between shards."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fleetpulse.effects import Effects
from fleetpulse.engine import Engine
from fleetpulse.persistence import drop_partition, export_partition, import_partition
from fleetpulse.profile import AlertRule, Profile, WindowSpec, ZScoreSpec
from fleetpulse.telemetry_pb2 import Assignment, Control, Telemetry
from tests.core.invariants import check_invariants
from tests.core.logs import PARTITIONS, T0_US, Log, difference, feed, frame, fresh_engine

DEVICES = st.sampled_from([f"pump-{n}" for n in range(3)] + [f"fan-{n}" for n in range(3)])
SLOT_US = 20_000


def revision(number: int, **changes: object) -> Profile:
    fields: dict[str, object] = {
        "name": "machine",
        "revision": number,
        "channels": ("a", "b"),
        "rate_hz": 50,
        "lateness_ms": 200,
        "future_bound_s": 3600,
        "block_samples_max": 12,
        "window": WindowSpec(size=16, hop=5, coverage_min=0.5),
        "zscore": ZScoreSpec(warmup_windows=2),
        "alert": AlertRule(threshold=1.5, raise_after=1, clear_after=1, dedup_s=1),
    }
    return Profile(**fields | changes)  # type: ignore[arg-type]


FIRST = revision(1)
SECOND = revision(2, model="any@1", lateness_ms=0, window=WindowSpec(size=9, hop=9, aligned=True))
THIRD = revision(3, rate_hz=0.5, lateness_ms=4000)


class EngineLife(RuleBasedStateMachine):
    """Two engines share the partitions; a third, never disturbed, reads the same log."""

    @initialize()
    def begin(self) -> None:
        self.log = Log()
        self.owners: list[Engine] = [Engine(PARTITIONS), Engine(PARTITIONS)]
        self.owner_of = [0, 1]
        for partition in range(PARTITIONS):
            import_partition(self.owners[partition], partition, None)
        self.effects = Effects()
        self.settled: dict[tuple[bytes, int], int] = {}
        self.at = 0
        self.log.profile(FIRST)
        self.flush()

    def flush(self) -> None:
        """Let the owners read what is new in the log."""
        begin, end = self.at, len(self.log.keys)
        self.at = end
        for number, engine in enumerate(self.owners):
            mine = [i for i in range(begin, end) if self.owner_of[self.log.partitions[i]] == number]
            if mine:
                batch = self.log.batch()
                self.effects.extend(feed(engine, batch.take(np.array(mine))))

    @rule(device=DEVICES, ahead=st.sampled_from([0, 0, 0, 1, 7, -1, -9, -30, 90, 4000]),
          count=st.integers(1, 12), twice=st.booleans())  # fmt: skip
    def a_frame_arrives(self, device: str, ahead: int, count: int, twice: bool) -> None:
        value = frame(FIRST, int(device[-1]), self.clock() + ahead, count)
        for _ in range(1 + twice):
            self.log.device(device, value, self.now_us())

    @rule(device=DEVICES, channel=st.sampled_from(["a", "b", "zz"]), ahead=st.integers(-12, 3))
    def a_single_value_arrives(self, device: str, channel: str, ahead: int) -> None:
        ts = (T0_US + (self.clock() + ahead) * SLOT_US) // 1000
        value = Telemetry(ts=ts, metrics={channel: 1.0}).SerializeToString()
        self.log.device(device, value, self.now_us())

    @rule()
    def time_passes(self) -> None:
        self.log.tick(self.now_us())

    @rule(profile=st.sampled_from([FIRST, SECOND, THIRD]),
          pattern=st.sampled_from(["*", "pump-*", "fan-1"]))  # fmt: skip
    def a_profile_is_assigned(self, profile: Profile, pattern: str) -> None:
        self.log.profile(profile, pattern)

    @rule(profile=st.sampled_from(["machine", "unknown"]), number=st.integers(0, 4))
    def an_assignment_comes(self, profile: str, number: int) -> None:
        assignment = Assignment(device_pattern="fan-2", profile=profile, profile_revision=number)
        self.log.control(Control(id=f"{profile} {number}", assignment=assignment), self.now_us())

    @rule()
    def the_batch_ends(self) -> None:
        self.flush()

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def a_partition_moves(self, partition: int) -> None:
        self.flush()
        old = self.owner_of[partition]
        snapshot = export_partition(self.owners[old], partition, next_offset=0, topic_id="t")
        drop_partition(self.owners[old], partition)
        import_partition(self.owners[1 - old], partition, snapshot)
        self.owner_of[partition] = 1 - old

    @rule(number=st.integers(0, 1))
    def a_shard_restarts(self, number: int) -> None:
        self.flush()
        engine = Engine(PARTITIONS)
        for partition, owner in enumerate(self.owner_of):
            if owner == number:
                old = self.owners[number]
                state = export_partition(old, partition, next_offset=0, topic_id="t")
                import_partition(engine, partition, state)
        self.owners[number] = engine

    def clock(self) -> int:
        """Slots since the log began: it moves with each record."""
        return 100 + 6 * len(self.log.keys)

    def now_us(self) -> int:
        return T0_US + (self.clock() + 100) * SLOT_US

    @invariant()
    def engines_are_consistent(self) -> None:
        for engine in self.owners:
            check_invariants(engine)
            for key in engine.directory._handles:
                place = engine.directory.find(key)
                assert place is not None
                cohort, row = place
                life = sum(seen.device_id == key.decode()[8:] for seen in self.effects.devices)
                settled = int(cohort.rings.settled[row])
                assert self.settled.get((key, life), settled) <= settled, "settled went back"
                self.settled[key, life] = settled

    def teardown(self) -> None:
        self.flush()
        undisturbed = feed(fresh_engine(), self.log.batch())
        assert not difference(self.effects, undisturbed), "moving it changed a result"


EngineLife.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestEngineLife = EngineLife.TestCase
