"""An engine through any life: arrivals, controls, restarts, partitions that move between shards."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from adapters.memory.files import MemoryFiles
from fleetpulse.effects import Effects
from fleetpulse.identity import DeviceKey, partition_of
from fleetpulse.profile import AlertRule, Profile, RateLimit, SessionSpec, WindowSpec, ZScoreSpec
from fleetpulse.telemetry_pb2 import Assignment, Control, Forget, Pause, Telemetry
from tests.core.invariants import check_invariants
from tests.core.logs import PARTITIONS, T0_US, Log, difference, feed, frame, fresh_engine
from tests.core.shelf import Shelf

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
        "rate_limit": RateLimit(factor=3, burst_s=1),
        "window": WindowSpec(size=16, hop=5, coverage_min=0.5),
        "zscore": ZScoreSpec(warmup_windows=2),
        "alert": AlertRule(threshold=1.5, raise_after=1, clear_after=1, dedup_s=1),
        "offline_after_s": 5,
        "session": SessionSpec(channel="b", above=1.0, gap_s=1),
    }
    return Profile(**fields | changes)  # type: ignore[arg-type]


FIRST = revision(1)
SECOND = revision(2, model="mean@1", lateness_ms=0, window=WindowSpec(size=9, hop=9, aligned=True))
THIRD = revision(3, rate_hz=0.5, lateness_ms=4000)


def mean_scores(samples: np.ndarray) -> np.ndarray:
    """Stands for the model `mean@1`."""
    return np.asarray(samples.mean(axis=(1, 2), dtype=np.float64), np.float32)


class EngineLife(RuleBasedStateMachine):
    """Two shards share the partitions and forget devices; an engine that is never disturbed reads
    the same log.
    """

    @initialize(forgetful=st.booleans())
    def begin(self, forgetful: bool) -> None:
        self.forgetful = forgetful
        self.log = Log()
        files = MemoryFiles()
        self.owners = [
            Shelf(files=files, partitions=range(n, n + 1), model=mean_scores) for n in (0, 1)
        ]
        self.owner_of = [0, 1]
        self.effects = Effects()
        self.settled: dict[tuple[bytes, int], int] = {}
        self.at = self.waited = self.generation = 0
        self.log.profile(FIRST)
        self.flush()

    def flush(self) -> None:
        """Let the owners read what is new in the log."""
        begin, end = self.at, len(self.log.keys)
        self.at = end
        for number, shelf in enumerate(self.owners):
            mine = [i for i in range(begin, end) if self.owner_of[self.log.partitions[i]] == number]
            if mine:
                shelf.feed(self.log.batch().take(np.array(mine)))
                self.effects.extend(shelf.effects)
                shelf.effects = Effects()
            if self.forgetful:
                shelf.drop(shelf.everything())

    @rule(device=DEVICES, ahead=st.sampled_from([0, 0, 0, 1, 7, -1, -9, -30, 90, 4000, 170_000]),
          count=st.integers(1, 12), twice=st.booleans())  # fmt: skip
    def a_frame_arrives(self, device: str, ahead: int, count: int, twice: bool) -> None:
        value = frame(FIRST, int(device[-1]), self.clock() + ahead, count)
        for _ in range(1 + twice):
            self.log.device(device, value, self.now_us())

    @rule(devices=st.sets(DEVICES, min_size=1, max_size=3), frames=st.integers(3, 30),
          ticks=st.booleans())  # fmt: skip
    def devices_work(self, devices: set[str], frames: int, ticks: bool) -> None:
        for _ in range(frames):
            begin = self.clock()
            for device in sorted(devices):
                self.a_frame_arrives(device, begin - self.clock(), 12, False)
            self.waited += max(0, begin + 12 - self.clock())
            if ticks:
                self.time_passes()

    @rule(device=DEVICES, channel=st.sampled_from(["a", "b", "zz"]), ahead=st.integers(-12, 3))
    def a_single_value_arrives(self, device: str, channel: str, ahead: int) -> None:
        ts = (T0_US + (self.clock() + ahead) * SLOT_US) // 1000
        value = Telemetry(ts=ts, metrics={channel: 1.0}).SerializeToString()
        self.log.device(device, value, self.now_us())

    @rule(device=DEVICES, value=st.sampled_from([b"", b"garbage"]), elsewhere=st.booleans())
    def a_record_comes_that_cannot_be_used(
        self, device: str, value: bytes, elsewhere: bool
    ) -> None:
        key = DeviceKey("default", device).encode()
        partition = partition_of(key, PARTITIONS) ^ elsewhere
        self.log.append(partition, key, value, self.now_us())

    @rule(shift_s=st.sampled_from([-1000, -3, 3, 30]), key=st.sampled_from([b"!tick", b"t/d"]))
    def a_brokers_clock_is_wrong(self, shift_s: int, key: bytes) -> None:
        for partition in range(PARTITIONS):
            self.log.append(partition, key, b"", self.now_us() + shift_s * 1_000_000)

    @rule()
    def time_passes(self) -> None:
        self.log.tick(self.now_us())

    @rule(seconds=st.integers(1, 8))
    def nobody_sends(self, seconds: int) -> None:
        for _ in range(seconds):
            self.waited += 50
            self.log.tick(self.now_us())

    @rule(profile=st.sampled_from([FIRST, SECOND, THIRD]),
          pattern=st.sampled_from(["*", "pump-*", "fan-1"]))  # fmt: skip
    def a_profile_is_assigned(self, profile: Profile, pattern: str) -> None:
        self.log.profile(profile, pattern)

    @rule(pattern=st.sampled_from(["*", "pump-*", "fan-1"]), paused=st.booleans())
    def devices_are_paused_or_resumed(self, pattern: str, paused: bool) -> None:
        pause = Pause(device_pattern=pattern, paused=paused)
        self.log.control(Control(id=f"pause {len(self.log.keys)}", pause=pause), self.now_us())

    @rule(device=DEVICES)
    def a_device_is_deleted(self, device: str) -> None:
        gone = Forget(tenant="default", device_id=device)
        self.log.control(Control(id=f"forget {len(self.log.keys)}", forget=gone), self.now_us())

    @rule(device=DEVICES, times=st.integers(2, 30))
    def a_device_sends_far_too_much(self, device: str, times: int) -> None:
        for _ in range(times):
            self.a_frame_arrives(device, 0, 12, False)

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
        self.owners[old].give_up(partition, self.next_generation())
        self.owners[1 - old].take_over(partition)
        self.owner_of[partition] = 1 - old

    @rule(number=st.integers(0, 1))
    def a_shard_restarts(self, number: int) -> None:
        self.flush()
        self.owners[number].restart(self.next_generation())

    @rule(number=st.integers(0, 1), kept=st.sampled_from([0, 0, 2, 3]))
    def devices_leave_memory(self, number: int, kept: int) -> None:
        self.flush()
        known = self.owners[number].everything()
        self.owners[number].drop(known[known % 4 >= kept])

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def a_snapshot_is_begun(self, partition: int) -> None:
        self.flush()
        self.owners[self.owner_of[partition]].begin_copy(partition, self.next_generation())

    @rule(number=st.integers(0, 1))
    def snapshots_are_stored(self, number: int) -> None:
        self.flush()
        self.owners[number].end_copies()

    def next_generation(self) -> int:
        self.generation += 1
        return self.generation

    def clock(self) -> int:
        """Slots since the log began: it moves with each record."""
        return 100 + 6 * len(self.log.keys) + self.waited

    def now_us(self) -> int:
        return T0_US + (self.clock() + 100) * SLOT_US

    @invariant()
    def engines_are_consistent(self) -> None:
        for shelf in self.owners:
            check_invariants(shelf.engine)
            for key in shelf.engine.directory._handles:
                place = shelf.engine.directory.find(key)
                if place is None:
                    continue
                cohort, row = place
                life = sum(seen.device_id == key.decode()[8:] for seen in self.effects.devices)
                settled = int(cohort.rings.settled[row])
                assert self.settled.get((key, life), settled) <= settled, "settled went back"
                self.settled[key, life] = settled

    def teardown(self) -> None:
        self.flush()
        undisturbed = feed(fresh_engine(), self.log.batch(), mean_scores)
        assert not difference(self.effects, undisturbed), "moving it changed a result"


EngineLife.TestCase.settings = settings(max_examples=10, stateful_step_count=40, deadline=None)
TestEngineLife = EngineLife.TestCase
