"""What exactly-once costs: one backlog, worked off with Kafka transactions and without."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.backlog import held_back
from benchmarks.plan import LoadPlan
from benchmarks.processes import ProcessWatch
from benchmarks.stack import fresh_stack, on_free_ports
from devstack.processes import STACK_VARIABLE
from devstack.state import StackState
from fleetpulse.settings import Settings

Effects = Literal["exactly-once", "at-least-once"]
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
        samples = backlog.fill(plan)
        watch = ProcessWatch(STACK_VARIABLE, stack.stack_id)
        watch.start()
        done = backlog.work_off(_PROCESSED_S)
        cpu_s = {usage.name: usage.cpu_s for usage in watch.stop()}
    shard_s, broker_s = cpu_s.get("shard", 0), cpu_s.get("broker", 0)
    return Mode(effects, samples, round(done.seconds, 2), shard_s, broker_s)
