"""One stack under several loads: what a sample costs and how long it takes, by rate.

The rate is set by the number of devices: each sends as in the benchmark at full load.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from benchmarks.e2e import Options, Progress, run
from benchmarks.plan import LoadPlan
from benchmarks.report import Latency, Run
from benchmarks.stack import MeasuredStack

STEP: Final = 1.25
"""From one rate that holds to the next that is tried."""
TOLERANCE: Final = 0.05
"""Of the answer: the distance between what holds and what does not."""
RATE_MAX: Final = 10_000_000
_ROLES: Final = ("shard", "broker", "postgres", "live hub")
_LOADS: Final = ("generator", "views")
"""Who sends and asks: not a part of what a sample costs."""
Probe = Callable[[float], bool]


@dataclass(frozen=True, slots=True)
class AtRate:
    """A run at one rate. cpu_s_per_million_samples: by role, and of all but the load's."""

    samples_per_s: float
    holds: bool
    alerts: Latency
    scores: Latency
    cpu_s_per_million_samples: dict[str, float]
    problems: list[str]

    @classmethod
    def of(cls, result: Run, p99_ms_max: float) -> "AtRate":
        """holds: everything was accepted and scored once, and the alerts' p99 is within bounds."""
        measured = result.measured
        millions = measured.samples / 1e6
        spent = {each.name: each.cpu_s for each in measured.processes}
        ours = sum(spent.values()) - sum(spent.get(role, 0.0) for role in _LOADS)
        by_role = {role: spent.get(role, 0.0) for role in _ROLES} | {"all": ours}
        return cls(
            measured.accepted_samples_per_s,
            not result.problems and measured.frame_to_alert_ms.p99 <= p99_ms_max,
            measured.frame_to_alert_ms,
            measured.frame_to_score_ms,
            {role: round(cpu_s / millions, 3) for role, cpu_s in by_role.items()},
            result.problems,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def at_rates(
    stack: MeasuredStack,
    plan: LoadPlan,
    rates: Sequence[float],
    *,
    p99_ms_max: float,
    on_progress: Callable[[Progress], None],
) -> Iterator[AtRate]:
    """One run after the other; `plan` says all but the number of devices."""
    for number, rate in enumerate(rates):
        devices = max(1, round(rate / plan.rate_hz))
        load = replace(plan, run=f"{plan.run}n{number}", devices=devices)
        options = Options(limited=False)
        result = run(
            stack, load, options, on_progress=on_progress, on_check=lambda _done, _total: None
        )
        yield AtRate.of(result, p99_ms_max)


def highest(holds: Probe, start: float) -> float:
    """The highest rate that holds, within `TOLERANCE`; 0 if `start / STEP**8` does not.

    It goes from `start` in steps up or down to the first change, then halves the distance.
    """
    low, high = 0.0, 0.0
    rate = start
    while not (low and high) and start / STEP**8 <= rate <= RATE_MAX:
        if holds(rate):
            low, rate = rate, rate * STEP
        else:
            high, rate = rate, rate / STEP
    while low and high and high - low > TOLERANCE * low:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
