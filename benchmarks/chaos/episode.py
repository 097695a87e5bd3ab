"""One episode: a load of its own, some faults, then the comparison with the offline computation."""

import random
import select
import subprocess
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.accepted import AcceptedFrames
from benchmarks.chaos.faults import struck
from benchmarks.chaos.flows import Flows, Standstill, longest_standstill
from benchmarks.chaos.schedule import WARM_S, Episode, Fault
from benchmarks.chaos.verdict import Verdict
from benchmarks.chaos.victims import Victims
from benchmarks.check import await_processed
from benchmarks.child import said, start_module
from benchmarks.plan import LoadPlan
from benchmarks.stack import MeasuredStack
from benchmarks.topics import Span
from fleetpulse.errors import FleetpulseError

_PROCESSED_S: Final = 120.0
_GATEWAY_MS: Final = 50.0
"""A request of each few frames would cost as much CPU as all else."""
_BEGUN_S: Final = 60.0
_SENT_S: Final = 120.0
_TOPICS: Final = (
    "telemetry",
    "scores",
    "alerts",
    "aggregates.second",
    "aggregates.minute",
    "events",
    "tombstones",
    "telemetry.dead",
    "telemetry.late",
)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that happened. standstill: what stood still because of it."""

    fault: Fault
    begun_us: int
    ended_us: int
    until_us: int
    standstill: Standstill = field(default_factory=Standstill)

    @property
    def recovery_s(self) -> float:
        """From the end of its cause until everything moved again."""
        return self.standstill.after_s

    @property
    def in_time(self) -> bool:
        """As promised."""
        return self.recovery_s <= self.fault.recovery_max_s


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """What happened and what was found. problem: why it could not be judged; empty if it was."""

    episode: Episode
    struck: list[Struck]
    verdict: Verdict
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """An episode that ran, and where to look. answered: as `judge` takes it."""

    episode: Episode
    struck: list[Struck]
    span: Span
    answered: AbstractSet[tuple[bytes, int]]


class EpisodeRun:
    """Owns the generators of one episode."""

    def __init__(self, stack: MeasuredStack, episode: Episode, load: LoadPlan, say: Say) -> None:
        """load: the whole fleet; a tenth of its devices sends over HTTP, the others into Kafka."""
        self._stack = stack
        self._episode = episode
        self._say = say
        self._folder = stack.settings.data_folder / f"episode-{episode.number}"
        by_http = max(1, load.devices // 10)
        common = replace(
            load,
            seconds=episode.seconds,
            seed=episode.seed,
            url=stack.page,
            devices=by_http,
            # A minute ends when the first fault has struck.
            minute_after_s=WARM_S + 2,
            at_a_word=True,
        )
        run = f"{load.run}n{episode.number}"
        self._http = replace(common, run=f"{run}h", via="http", gather_ms=_GATEWAY_MS)
        self._kafka = replace(common, run=f"{run}k", devices=load.devices - by_http)
        self._prefix = f"default/bench{run}".encode()

    def run(self) -> Case | EpisodeResult:
        """Load, strike, wait; a result without a verdict if that failed."""
        settings = self._stack.settings
        self._folder.mkdir()
        span = Span.from_now(settings.kafka, _TOPICS, self._prefix)
        flows = Flows.start(settings.kafka, self._stack.dsn)
        hits: list[Struck] = []
        try:
            with ExitStack() as ends:
                generators = [self._generate(plan, ends) for plan in (self._kafka, self._http)]
                start_us = begin(generators)[1]
                time.sleep(WARM_S)
                hits = self._strike_all()
                for each in generators:
                    self._finish(each)
            self._say("waiting until every record is processed")
            await_processed(settings, _PROCESSED_S)
        except (FleetpulseError, subprocess.TimeoutExpired) as error:
            flows.stop([])
            return EpisodeResult(self._episode, hits, Verdict(), problem=str(error))
        accepted = AcceptedFrames.load(self._due_file(self._http)).rows
        moved = flows.stop(accepted[:, 2].tolist())
        hits = [
            replace(
                hit,
                standstill=longest_standstill(moved, hit.begun_us, hit.ended_us, hit.until_us),
            )
            for hit in hits
        ]
        fleet = self._http.fleet(start_us=start_us)
        answered = {
            (fleet.keys[device], fleet.time_us(device, frame * self._http.frame_samples))
            for device, frame in np.unique(accepted[:, :2], axis=0).tolist()
        }
        return Case(self._episode, hits, span, answered)

    def _strike_all(self) -> list[Struck]:
        victims = Victims(self._stack, random.Random(self._episode.seed))
        hits = []
        for fault in self._episode.faults:
            self._say(fault.name)
            begun_us = time.time_ns() // 1000
            with struck(fault, victims):
                time.sleep(fault.lasts_s)
            ended_us = time.time_ns() // 1000 if fault.lasts_s else begun_us
            time.sleep(fault.settles_s)
            # The load ends soon after the last one, and then all stands still.
            hits.append(Struck(fault, begun_us, ended_us, time.time_ns() // 1000 - 500_000))
        return hits

    def _due_file(self, plan: LoadPlan) -> Path:
        return self._folder / f"{plan.via}-due.npy"

    def _generate(self, plan: LoadPlan, ends: ExitStack) -> "subprocess.Popen[str]":
        file = self._folder / f"{plan.via}-plan.json"
        plan.write(file)
        generator = start_module(
            self._stack.settings,
            "benchmarks.generator",
            file,
            self._due_file(plan),
            stack_id=self._stack.stack_id,
            told=True,
        )
        ends.callback(generator.wait, 10)
        ends.callback(generator.kill)
        return generator

    def _finish(self, generator: "subprocess.Popen[str]") -> None:
        """Wait until it has sent everything."""
        done = said(generator, generator.communicate(timeout=_SENT_S)[0])
        if done["accepted"] != done["offered"]:
            self._say(f"{done['offered'] - done['accepted']} samples got no 202: {done['reasons']}")


def begin(generators: "list[subprocess.Popen[str]]") -> list[int]:
    """Let all begin once all are ready; when their fleets began, in event time."""
    for generator in generators:
        _line(generator)
    for generator in generators:
        assert generator.stdin is not None
        generator.stdin.write("\n")
        generator.stdin.flush()
    return [int(_line(generator)["start_us"]) for generator in generators]


def _line(generator: "subprocess.Popen[str]") -> dict[str, Any]:
    assert generator.stdout is not None
    if not select.select([generator.stdout], [], [], _BEGUN_S)[0]:
        raise FleetpulseError(f"{generator.args!r} was not ready within {_BEGUN_S:g} s")
    return said(generator, generator.stdout.readline())
