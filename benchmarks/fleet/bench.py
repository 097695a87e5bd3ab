"""Contenders in turn on one machine.

Over a full topic the bound runs before and after each, on the same broker.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.fleet import topics
from benchmarks.fleet.catalog import BOUND, CONTENDERS, OURS, Contender
from benchmarks.fleet.environments import python_of
from benchmarks.fleet.job import HOP, JOBS, RATE_HZ, SECOND_US, STEP_US, Job
from benchmarks.fleet.model import store
from benchmarks.fleet.paced import WARM_S, Load, pace_contender, pace_ours
from benchmarks.fleet.place import Servers, broker, engine
from benchmarks.fleet.run import hold_backlog, run_contender, run_ours
from benchmarks.fleet.series import Series
from benchmarks.fleet.task import Result, Task, whole_seconds_and_a_half
from devstack.state import StackState
from fleetpulse.settings import Settings

_ALIGNED_US: Final = 16 * SECOND_US
"""A multiple of a second and of 128 samples, so that windows begin as the job says."""
assert _ALIGNED_US % (HOP * STEP_US) == 0
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Compared:
    """A contender's run, and the bound's before and after it."""

    result: Result
    bounds: tuple[Result, ...] = ()

    @property
    def of_bound(self) -> float:
        """Its samples per CPU second, as a share of the bound's in the same run."""
        if not self.bounds:
            return 1.0
        bound = sum(each.cpu_s_per_million for each in self.bounds) / len(self.bounds)
        own = self.result.cpu_s_per_million
        return bound / own if own > 0 else 0.0


class Bench:
    """One job, with or without its model. tell, on_start: hear what happens."""

    def __init__(
        self,
        settings: Settings,
        job: str,
        *,
        with_model: bool,
        as_exported: bool = False,
        tell: Tell,
        on_start: Callable[[StackState], None],
    ) -> None:
        self._settings = settings
        self._job = JOBS[job]
        self._folder = settings.data_folder.absolute() / "bench-fleet-runs"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._models = self._folder / "models"
        model = store(self._models, as_exported=as_exported)
        self._model = str(model) if with_model else ""
        self._tell = tell
        self._on_start = on_start
        self._runs = 0

    def run(self, names: Sequence[str], frames: int) -> list[Compared]:
        """All of them over full topics. frames: of each device, for the fastest."""
        alone = [CONTENDERS[name] for name in names if name not in (BOUND, OURS)]
        for each in alone:
            self._python(each)
        found: list[Compared] = []
        if OURS in names:
            found += self._ours(frames)
        if alone or OURS not in names:
            with broker(self._settings) as servers:
                found += self._alternating(alone, frames, servers)
        return found

    def run_paced(self, names: Sequence[str], rate: int, seconds: float) -> list[Compared]:
        """Each of them while so many samples come per second. seconds: that count."""
        job = replace(self._job, devices=max(1, rate // RATE_HZ))
        found = []
        for contender in (CONTENDERS[name] for name in names):
            self._python(contender)
            if contender.name == OURS:
                with engine(
                    self._settings, self._models, paced=True, on_start=self._on_start
                ) as ours:
                    self._tell(contender.name)
                    load = self._load(job, contender, seconds, "telemetry", ours.settings)
                    found.append(Compared(pace_ours(load, ours)))
                continue
            with broker(self._settings) as servers:
                self._tell(contender.name)
                topics.create(servers.kafka, ["paced"])
                own = self._settings.model_copy(update={"kafka": servers.kafka})
                load = self._load(job, contender, seconds, "paced", own)
                python = self._python(contender)
                found.append(Compared(pace_contender(contender, python, load, servers)))
        return found

    def _ours(self, frames: int) -> list[Compared]:
        with engine(self._settings, self._models, paced=False, on_start=self._on_start) as ours:
            task = self._task(frames)
            self._tell("fill")
            hold_backlog(task, ours)
            self._fill(ours.servers, task)
            before = self._one(CONTENDERS[BOUND], task, ours.servers)
            self._tell(OURS)
            result = run_ours(task, ours)
            after = self._one(CONTENDERS[BOUND], task, ours.servers)
        return [Compared(before), Compared(result, (before, after)), Compared(after)]

    def _alternating(
        self, contenders: list[Contender], frames: int, servers: Servers
    ) -> list[Compared]:
        shares = {1.0, *(each.frames_share for each in contenders)}
        tasks = {share: self._task(round(frames * share)) for share in shares}
        self._tell("fill")
        for task in tasks.values():
            self._fill(servers, task)
        before = self._one(CONTENDERS[BOUND], tasks[1.0], servers)
        found = [Compared(before)]
        for contender in contenders:
            result = self._one(contender, tasks[contender.frames_share], servers)
            after = self._one(CONTENDERS[BOUND], tasks[1.0], servers)
            found += [Compared(result, (before, after)), Compared(after)]
            before = after
        return found

    def _one(self, contender: Contender, task: Task, servers: Servers) -> Result:
        self._tell(contender.name)
        python, folder = self._python(contender), self._scratch(contender)
        return run_contender(contender, python, task, servers, _topic(task), folder)

    def _python(self, contender: Contender) -> Path:
        return python_of(contender.environment, self._settings.data_folder)

    def _scratch(self, contender: Contender) -> Path:
        self._runs += 1
        return self._folder / f"{self._runs}-{contender.name}"

    def _task(self, frames: int) -> Task:
        """Of the past: the last of it is now."""
        count = whole_seconds_and_a_half(self._job, frames)
        start_us = time.time_ns() // 1000 - count * self._job.frame_us
        return Task(Series(self._job, start_us // _ALIGNED_US * _ALIGNED_US), count, self._model)

    def _load(
        self, job: Job, contender: Contender, seconds: float, topic: str, settings: Settings
    ) -> Load:
        """Of the future: the contender has time to start."""
        frames = round((WARM_S + seconds) * SECOND_US) // job.frame_us
        ready_us = time.time_ns() // 1000 + round(contender.ready_s * 1e6)
        start_us = -(-ready_us // _ALIGNED_US) * _ALIGNED_US
        series = Series(job, start_us)
        task = Task(series, whole_seconds_and_a_half(job, frames), self._model)
        return Load(task, topic, settings, self._scratch(contender))

    def _fill(self, servers: Servers, task: Task) -> None:
        topics.create(servers.kafka, [_topic(task)])
        topics.fill(servers.kafka, _topic(task), task.series, task.frames)


def _topic(task: Task) -> str:
    return f"{task.job.name}.{task.frames}"
