"""Contenders in turn on one machine, the bound before and after each, on one broker's topic."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.fleet import topics
from benchmarks.fleet.catalog import BOUND, CONTENDERS, OURS, Contender
from benchmarks.fleet.environments import python_of
from benchmarks.fleet.job import JOBS, SECOND_US, STEP_US, Job
from benchmarks.fleet.model import store
from benchmarks.fleet.place import Servers, broker, engine
from benchmarks.fleet.run import Result, Task, hold_backlog, run_contender, run_ours
from benchmarks.fleet.series import Series
from devstack.state import StackState
from fleetpulse.settings import Settings

_ALIGNED_US: Final = 16 * SECOND_US
"""Common multiple of a second and of 128 samples: every window's phase begins here."""
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Compared:
    """A contender's run, and the bound's before and after it."""

    result: Result
    bounds: tuple[Result, ...]

    @property
    def of_bound(self) -> float:
        """Its samples per CPU second, as a share of the bound's in the same run."""
        if not self.bounds:
            return 1.0
        bound = sum(each.cpu_s_per_million for each in self.bounds) / len(self.bounds)
        return bound / self.result.cpu_s_per_million


class Bench:
    """One job, with or without its model."""

    def __init__(self, settings: Settings, job: str, *, with_model: bool, frames: int) -> None:
        """frames: of each device, for the fastest contenders."""
        self._settings = settings
        self._job = JOBS[job]
        self._frames = frames
        self._folder = settings.data_folder.absolute() / "bench-fleet-runs"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._models = self._folder / "models"
        model = store(self._models)
        self._model = str(model) if with_model else ""
        self._serial = 0

    def run(
        self, names: Sequence[str], tell: Tell, on_start: Callable[[StackState], None]
    ) -> list[Compared]:
        """All of them; `tell` hears what happens."""
        chosen = [CONTENDERS[name] for name in names if name != BOUND]
        pythons = {
            each.name: python_of(each.environment, self._settings.data_folder)
            for each in (*chosen, CONTENDERS[BOUND])
        }
        alone = [each for each in chosen if each.name != OURS]
        found: list[Compared] = []
        if OURS in names:
            found += self._ours(pythons, tell, on_start)
        if alone or not chosen:
            with broker(self._settings) as servers:
                found += self._alternating(alone, pythons, servers, tell)
        return found

    def _ours(
        self, pythons: dict[str, Path], tell: Tell, on_start: Callable[[StackState], None]
    ) -> list[Compared]:
        with engine(self._settings, self._models, paced=False, on_start=on_start) as ours:
            task = self._task(1.0)
            tell("fill")
            hold_backlog(task, ours)
            self._fill(ours.servers, task)
            bound = CONTENDERS[BOUND]
            tell(BOUND)
            before = self._one(bound, pythons, task, ours.servers)
            tell(OURS)
            result = run_ours(task, ours)
            tell(BOUND)
            after = self._one(bound, pythons, task, ours.servers)
        return [Compared(before, ()), Compared(result, (before, after)), Compared(after, ())]

    def _alternating(
        self, contenders: list[Contender], pythons: dict[str, Path], servers: Servers, tell: Tell
    ) -> list[Compared]:
        bound = CONTENDERS[BOUND]
        tasks = {share: self._task(share) for share in {1.0, *(c.frames_share for c in contenders)}}
        tell("fill")
        for task in tasks.values():
            self._fill(servers, task)
        tell(BOUND)
        before = self._one(bound, pythons, tasks[1.0], servers)
        found = [Compared(before, ())]
        for contender in contenders:
            tell(contender.name)
            result = self._one(contender, pythons, tasks[contender.frames_share], servers)
            tell(BOUND)
            after = self._one(bound, pythons, tasks[1.0], servers)
            found += [Compared(result, (before, after)), Compared(after, ())]
            before = after
        return found

    def _one(
        self, contender: Contender, pythons: dict[str, Path], task: Task, servers: Servers
    ) -> Result:
        self._serial += 1
        folder = self._folder / f"{self._serial}-{contender.name}"
        python = pythons[contender.name]
        return run_contender(contender, python, task, servers, _topic(task), folder)

    def _task(self, share: float) -> Task:
        frames = whole_seconds_and_a_half(self._job, round(self._frames * share))
        span_us = frames * self._job.frame_us
        start_us = (time.time_ns() // 1000 - span_us) // _ALIGNED_US * _ALIGNED_US
        return Task(Series(self._job, start_us), frames, self._model)

    def _fill(self, servers: Servers, task: Task) -> None:
        topics.create(servers.kafka, [_topic(task)])
        topics.fill(servers.kafka, _topic(task), task.series, task.frames)


def whole_seconds_and_a_half(job: Job, frames: int) -> int:
    """So that the last second is open for everyone, whether or not he waits for the next frame."""
    per_second = SECOND_US // job.frame_us
    return max(2, frames // per_second) * per_second + per_second // 2


def _topic(task: Task) -> str:
    return f"{task.job.name}.{task.frames}"


assert _ALIGNED_US % (128 * STEP_US) == 0
