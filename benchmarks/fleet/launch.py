"""A contender's processes while they run: started with a plan, watched, ended for certain."""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.fleet import topics
from benchmarks.fleet.catalog import Contender
from benchmarks.fleet.job import PLAN_VARIABLE, Plan
from benchmarks.fleet.place import Servers
from benchmarks.fleet.task import Task
from benchmarks.processes import ProcessWatch
from devstack.processes import end_marked

MARK: Final = "FLEETPULSE_BENCH_RUN"
"""Environment variable that every process of a contender inherits."""
STALL_S: Final = 90.0
_POLL_S: Final = 0.1
_WATCH_S: Final = 0.1
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Launched:
    """A contender at work. seconds, scores: its output topics."""

    process: "subprocess.Popen[bytes]"
    watch: ProcessWatch
    servers: Servers
    folder: Path
    seconds: str
    scores: str

    def await_outputs(self, wanted: int, stall_s: float = STALL_S) -> str:
        """Until so many are there; why they are not, or nothing."""
        counts = topics.Counts(self.servers.kafka, [self.seconds, self.scores])
        seen, moved_s = -1, time.monotonic()
        while (total := counts.total()) < wanted:
            if total != seen:
                seen, moved_s = total, time.monotonic()
            if self.process.poll() is not None:
                lines = self._log.read_text(errors="replace").strip().splitlines()
                said = lines[-1] if lines else "no reason given"
                return f"it ended with status {self.process.returncode}: {said}"
            if time.monotonic() - moved_s > stall_s:
                return f"it stalled at {seen:,} of {wanted:,} outputs"
            time.sleep(_POLL_S)
        time.sleep(2 * _WATCH_S)
        return ""

    def first_s(self, default_s: float) -> float:
        """When any of its processes saw its first record."""
        times = [float(path.read_text()) for path in self.folder.glob("first.*")]
        return min(times, default=default_s)

    @property
    def _log(self) -> Path:
        return self.folder / "log"


@contextmanager
def launched(
    contender: Contender, python: Path, task: Task, servers: Servers, source: str, folder: Path
) -> Iterator[Launched]:
    """Reads topic `source` from its beginning; ends with the context."""
    run = uuid.uuid4().hex[:8]
    seconds, scores = (f"{contender.name}.{run}.{kind}" for kind in ("seconds", "scores"))
    topics.create(servers.kafka, [seconds, scores])
    plan = Plan(
        job=task.job,
        bootstrap=servers.kafka.servers,
        input=servers.kafka.topic(source),
        seconds=servers.kafka.topic(seconds),
        scores=servers.kafka.topic(scores),
        group=f"{contender.name}.{run}",
        model=task.model,
        start_us=task.series.start_us,
        folder=str(folder),
    )
    folder.mkdir(parents=True)
    plan.write(folder / "plan.json")
    process = _start(contender, python, folder, run)
    watch = ProcessWatch(MARK, run, interval_s=_WATCH_S)
    watch.start()
    try:
        yield Launched(process, watch, servers, folder, seconds, scores)
    finally:
        watch.stop()
        end_marked(MARK, run)
        process.wait(10)


def _start(contender: Contender, python: Path, folder: Path, run: str) -> "subprocess.Popen[bytes]":
    paths = [_ROOT]
    if contender.embedded:
        paths += python.parents[1].glob("lib/python*/site-packages")
    variables = {
        MARK: run,
        PLAN_VARIABLE: str(folder / "plan.json"),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        # One thread each in numpy's libraries: cores are shared by all.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            [str(python), *contender.arguments],
            cwd=folder,
            env=os.environ | variables | contender.variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
