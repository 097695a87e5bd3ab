"""What exactly-once costs: one backlog, worked off with Kafka transactions and without."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from adapters.kafka.controls import publish
from benchmarks.backlog import held_back
from benchmarks.plan import LoadPlan
from benchmarks.processes import ProcessWatch
from benchmarks.stack import fresh_stack, on_free_ports
from devstack.processes import STACK_VARIABLE
from devstack.state import StackState
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import Settings
from simulator.targets.kafka import KafkaTarget

Effects = Literal["exactly-once", "at-least-once"]
_CLOSE_S: Final = 60.0
_PROCESSED_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Mode:
    """One pass over a full log, from the first record until every sink has everything."""

    effects: Effects
    samples: int
    seconds: float
    shard_cpu_s: float
    broker_cpu_s: float

    @property
    def samples_per_s(self) -> float:
        """Throughput."""
        return self.samples / self.seconds


@dataclass(frozen=True, slots=True)
class Price:
    """Both passes."""

    exactly_once: Mode
    at_least_once: Mode

    @property
    def share(self) -> float:
        """Of the throughput without that exactly-once has."""
        return self.exactly_once.samples_per_s / self.at_least_once.samples_per_s


def measure_price(
    settings: Settings, plan: LoadPlan, on_start: Callable[[StackState], None]
) -> Price:
    """A fresh stack for each pass."""
    return Price(
        at_least_once=_pass(settings, plan, "at-least-once", on_start),
        exactly_once=_pass(settings, plan, "exactly-once", on_start),
    )


def _pass(
    settings: Settings, plan: LoadPlan, effects: Effects, on_start: Callable[[StackState], None]
) -> Mode:
    own = on_free_ports(settings)
    own = own.model_copy(update={"shard": own.shard.model_copy(update={"effects": effects})})
    shutil.rmtree(own.data_folder, ignore_errors=True)
    with fresh_stack(own, on_start) as stack, held_back(stack) as backlog:
        kafka = stack.settings.kafka
        publish(kafka, [plan.profile], [plan.assignment])
        fleet = plan.fleet(start_us=time.time_ns() // 1000 - round(plan.seconds * 1e6))
        target = KafkaTarget(kafka, frame_samples=plan.frame_samples)
        for number in range(plan.rounds):
            target.send(fleet.frames(number))
        target.close(_CLOSE_S)
        watch = ProcessWatch(STACK_VARIABLE, stack.stack_id)
        watch.start()
        done = backlog.work_off(_PROCESSED_S)
        cpu_s = {usage.name: usage.cpu_s for usage in watch.stop()}
    counts = target.tally.counts()
    if counts.accepted != counts.sent:
        raise FleetpulseError(f"the log did not take the backlog: {counts.reasons}")
    shard_s, broker_s = cpu_s.get("shard", 0), cpu_s.get("broker", 0)
    return Mode(effects, counts.accepted, round(done.seconds, 2), shard_s, broker_s)
