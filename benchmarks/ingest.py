"""`fleetpulse bench ingest`: durable requests per second and per CPU second of the replica.

Broker, Ray, Serve with its HAProxy, and the client share the machine. The ingest and the bound
(benchmarks/ingest_bound.py) take turns in one run.
"""

import math
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from adapters.kafka.admin import KafkaAdmin
from benchmarks.ingest_bodies import Body, prepared, records_of, samples_of
from benchmarks.ingest_load import IngestLoad
from benchmarks.ingest_serve import BOUND
from benchmarks.ingest_stack import IngestStack, Phase, ingest_stack
from benchmarks.ingest_stages import Stages, measure_stages
from benchmarks.report import Latency
from devstack.free_ports import free_ports
from devstack.profiles import EVERY_DEVICE
from fleetpulse.control import ControlState
from fleetpulse.profile import Profile, profile_from_yaml
from fleetpulse.settings import Settings
from fleetpulse.telemetry_pb2 import Assignment, Control
from serve_apps.ingest.app import PATH

DEVICES: Final = 1000
ROUNDS: Final = 3
"""Turns of each of the two."""
WARM_UP_S: Final = 2.0
OnPhase = Callable[[str, int, int], None]
"""Name, how many are done, of how many."""


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """seconds: of each turn. rate: of the paced turn, in requests/s; None: half of the highest."""

    body: Body
    connections: int
    seconds: float
    rate: float | None


@dataclass(frozen=True, slots=True)
class Paced:
    """Requests sent at a rate, whatever is answered. Latency counts from when each was due."""

    requests_per_s: float
    latency_ms: Latency
    late_ms_max: float


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Rates are medians of the turns."""

    body: Body
    connections: int
    requests_per_s: float
    samples_per_s: float
    requests_per_replica_cpu_s: float
    latency_ms: Latency
    paced: Paced
    bound_requests_per_s: float
    bound_requests_per_replica_cpu_s: float
    cpu_us_per_request: dict[str, float]
    """By process. Of the generator, only what it sent for."""
    stage_us_per_request: Stages
    statuses: dict[str, int]
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def run_ingest(settings: Settings, plan: IngestPlan, on_phase: OnPhase) -> IngestReport:
    """On a fresh stack with free ports."""
    own = _on_free_ports(settings)
    profile_file = own.profiles_folder / f"{own.default_profile}.yaml"
    profile = profile_from_yaml(profile_file.read_text(), source=profile_file.name)
    phases = 2 * ROUNDS + 3
    on_phase("start", 0, phases)

    def load(path: str, seconds: float, rate: float = 0.0) -> IngestLoad:
        return IngestLoad(
            port=own.http.port,
            path=path,
            body=plan.body,
            connections=plan.connections,
            seconds=seconds,
            rate=rate,
            devices=DEVICES,
            profile_file=str(profile_file),
        )

    with ingest_stack(own) as stack:
        on_phase("warm up", 1, phases)
        for path in (PATH, f"/{BOUND}"):
            stack.measure(load(path, WARM_UP_S))
        before = _records(stack)
        ours: list[Phase] = []
        bounds: list[Phase] = []
        for turn in range(ROUNDS):
            on_phase("ingest", 2 + 2 * turn, phases)
            ours.append(stack.measure(load(PATH, plan.seconds)))
            on_phase("bound", 3 + 2 * turn, phases)
            bounds.append(stack.measure(load(f"/{BOUND}", plan.seconds)))
        rate = plan.rate or _per_s(ours) / 2
        on_phase("paced", phases - 1, phases)
        paced = stack.measure(load(PATH, plan.seconds, rate))
        durable = _records(stack) - before
        on_phase("stages", phases, phases)
        requests = prepared(plan.body, PATH, DEVICES, profile, time.time_ns() // 1_000_000)
        stages = measure_stages(stack.settings, _controls(profile), plan.body, requests)
    statuses: Counter[str] = Counter()
    for phase in (*ours, *bounds, paced):
        statuses.update(phase.result.statuses)
    wanted = sum(
        phase.result.statuses.get("202", 0) * count
        for phases_, count in (([*ours, paced], records_of(plan.body)), (bounds, 1))
        for phase in phases_
    )
    return IngestReport(
        body=plan.body,
        connections=plan.connections,
        requests_per_s=_per_s(ours),
        samples_per_s=_per_s(ours) * samples_of(plan.body),
        requests_per_replica_cpu_s=_per_cpu_s(ours, "ingest"),
        latency_ms=_worst([phase.result.latency_ms for phase in ours]),
        paced=Paced(
            round(paced.result.requests / paced.result.seconds, 1),
            paced.result.latency_ms,
            round(paced.result.late_ms_max, 1),
        ),
        bound_requests_per_s=_per_s(bounds),
        bound_requests_per_replica_cpu_s=_per_cpu_s(bounds, BOUND),
        cpu_us_per_request=_by_process(ours),
        stage_us_per_request=stages,
        statuses=dict(statuses),
        problems=_problems(statuses, wanted, durable),
    )


def _problems(statuses: Counter[str], wanted: int, durable: int) -> list[str]:
    problems = [
        f"{count} answers {status}" for status, count in statuses.items() if status != "202"
    ]
    if durable < wanted:
        problems.append(f"{wanted} records were answered 202 and {durable} are in the log")
    return problems


def _per_s(phases: list[Phase]) -> float:
    return round(
        statistics.median(phase.result.requests / phase.result.seconds for phase in phases), 1
    )


def _per_cpu_s(phases: list[Phase], role: str) -> float:
    rates = [
        phase.result.requests / phase.cpu_s(role) if phase.cpu_s(role) else math.nan
        for phase in phases
    ]
    return round(statistics.median(rates), 1)


def _worst(latencies: list[Latency]) -> Latency:
    return max(latencies, key=lambda each: each.p99)


def _by_process(phases: list[Phase]) -> dict[str, float]:
    requests = sum(phase.result.requests for phase in phases)
    used: defaultdict[str, float] = defaultdict(float)
    for phase in phases:
        for usage in phase.usages:
            if usage.name != "generator":
                used[usage.name] += usage.cpu_s
        used["generator"] += phase.result.cpu_s
    return {
        name: round(cpu_s / requests * 1e6, 1)
        for name, cpu_s in sorted(used.items(), key=lambda each: -each[1])
    }


def _records(stack: IngestStack) -> int:
    """In the telemetry topic, ticks included."""
    marks = KafkaAdmin(stack.settings.kafka).watermarks()
    return sum(end for _, end in marks.values())


def _controls(profile: Profile) -> ControlState:
    controls = ControlState()
    controls.apply(Control(id="p", profile_yaml=profile.to_yaml()).SerializeToString())
    everyone = Assignment(device_pattern=EVERY_DEVICE, profile=profile.name)
    controls.apply(Control(id="a", assignment=everyone).SerializeToString())
    return controls


def _on_free_ports(settings: Settings) -> Settings:
    ports = free_ports(3)
    return settings.model_copy(
        update={
            "data_folder": settings.data_folder.absolute() / "bench-ingest",
            "kafka": settings.kafka.model_copy(update={"port": ports, "bootstrap": None}),
            "http": settings.http.model_copy(update={"port": ports + 2}),
        }
    )
