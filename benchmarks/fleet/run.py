"""One contender over a topic that is full already: from its first record to its last output."""

import os
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adapters.kafka.controls import publish
from benchmarks.check import await_processed
from benchmarks.fleet import reference, topics
from benchmarks.fleet.catalog import OURS, Contender
from benchmarks.fleet.job import PLAN_VARIABLE, Job, Plan, phase_of
from benchmarks.fleet.place import Engine, Servers
from benchmarks.fleet.profile import assignment_of, profile_of
from benchmarks.fleet.series import Series
from benchmarks.processes import ProcessWatch
from devstack.processes import end_marked

MARK: Final = "FLEETPULSE_BENCH_RUN"
"""Environment variable that every process of a contender inherits."""
SERVERS: Final = ("broker", "postgres")
_STALL_S: Final = 90.0
_PROCESSED_S: Final = 600.0
_POLL_S: Final = 0.1
_COMMIT_S: Final = 0.1
_SETTLE_S: Final = 3.0
_WATCH_S: Final = 0.1
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Result:
    """One run. CPU: of all the contender's processes, and of the servers beside it."""

    contender: str
    samples: int
    seconds: float
    cpu_s: float
    cpu_by_role_s: dict[str, float]
    servers_cpu_s: dict[str, float]
    memory_mb: float
    """Peak, shared pages counted once per process."""
    findings: list[str] = field(default_factory=list)

    @property
    def samples_per_s(self) -> float:
        """Throughput."""
        return self.samples / self.seconds

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds per million samples."""
        return self.cpu_s / self.samples * 1e6


@dataclass(frozen=True, slots=True)
class Task:
    """What is computed. model: path; empty without."""

    series: Series
    frames: int
    model: str

    @property
    def job(self) -> Job:
        """The job."""
        return self.series.job

    @property
    def samples(self) -> int:
        """Of all devices."""
        return self.frames * self.job.frame_samples * self.job.devices

    @property
    def outputs(self) -> int:
        """Records that a contender writes."""
        seconds = self.job.seconds(self.frames) * self.job.devices
        return seconds + sum(
            self.job.windows(self.frames, phase_of(k)) for k in self.job.device_keys()
        )


def run_contender(
    contender: Contender, python: Path, task: Task, servers: Servers, source: str, folder: Path
) -> Result:
    """Start it on topic `source`, wait for its outputs, end it, check what it wrote."""
    run = uuid.uuid4().hex[:8]
    outputs = {kind: f"{contender.name}.{run}.{kind}" for kind in ("seconds", "scores")}
    topics.create(servers.kafka, list(outputs.values()))
    plan = Plan(
        job=task.job,
        bootstrap=servers.kafka.servers,
        input=servers.kafka.topic(source),
        seconds=servers.kafka.topic(outputs["seconds"]),
        scores=servers.kafka.topic(outputs["scores"]),
        group=f"{contender.name}.{run}",
        model=task.model,
        start_us=task.series.start_us,
        folder=str(folder),
    )
    folder.mkdir(parents=True)
    plan.write(folder / "plan.json")
    log = folder / "log"
    watch = ProcessWatch(MARK, run, interval_s=_WATCH_S)
    beside = servers.watch()
    beside.start()
    process = _start(contender, python, folder, log, run)
    watch.start()
    try:
        counts = topics.Counts(servers.kafka, list(outputs.values()))
        problem = _await(process, counts, task, log)
        time.sleep(2 * _WATCH_S)
    finally:
        watch.stop()
        beside.stop()
        end_marked(MARK, run)
        process.wait(10)
    written = topics.read_outputs(servers.kafka, task.job, outputs["seconds"], outputs["scores"])
    firsts = [float(path.read_text()) for path in folder.glob("first.*")]
    begin_s = min(firsts, default=written.first_s)
    found = reference.findings(task.series, task.frames, written.outputs, task.model)
    return Result(
        contender=contender.name,
        samples=task.samples,
        seconds=written.last_s - begin_s,
        cpu_s=sum(watch.cpu_between(begin_s, written.last_s).values()),
        cpu_by_role_s={},
        servers_cpu_s=_servers(beside.cpu_between(begin_s, written.last_s)),
        memory_mb=sum(watch.peaks_mb().values()),
        findings=[problem] * bool(problem) + found,
    )


def _start(
    contender: Contender, python: Path, folder: Path, log: Path, run: str
) -> "subprocess.Popen[bytes]":
    variables = {
        MARK: run,
        PLAN_VARIABLE: str(folder / "plan.json"),
        "PYTHONPATH": str(_ROOT),
        # One thread each in numpy's libraries: cores are shared by all.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(python), *contender.arguments],
            cwd=folder,
            env=os.environ | variables | contender.variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await(process: "subprocess.Popen[bytes]", counts: topics.Counts, task: Task, log: Path) -> str:
    """Until all outputs are there; returns why they are not."""
    wanted, seen = task.outputs, -1
    moved_s = time.monotonic()
    while True:
        total = counts.total()
        if total >= wanted:
            return ""
        if total != seen:
            seen, moved_s = total, time.monotonic()
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()
            return f"it ended with status {process.returncode}: {lines[-1] if lines else ''}"
        if time.monotonic() - moved_s > _STALL_S:
            return f"it stalled at {seen:,} of {wanted:,} outputs"
        time.sleep(_POLL_S)


def run_ours(task: Task, engine: Engine) -> Result:
    """The frames are in `telemetry` and the engine is paused: let it go, until all is committed."""
    settings = engine.settings
    watch = engine.servers.watch()
    watch.start()
    resumed_s = time.time()
    engine.resume()
    await_processed(settings, _PROCESSED_S)
    end_s = time.time()
    time.sleep(1.0)
    watch.stop()
    written = topics.read_results(settings.kafka, task.job)
    # It looks for resumed partitions once a second; its first records are in its first commit.
    begin_s = max(resumed_s, written.first_s - _COMMIT_S)
    cpu_s = watch.cpu_between(begin_s, end_s)
    ours = {role: spent for role, spent in cpu_s.items() if role not in SERVERS}
    peaks_mb = {role: peak for role, peak in watch.peaks_mb().items() if role not in SERVERS}
    return Result(
        contender=OURS,
        samples=task.samples,
        seconds=end_s - begin_s,
        cpu_s=sum(ours.values()),
        cpu_by_role_s={role: round(spent, 2) for role, spent in ours.items()},
        servers_cpu_s=_servers(cpu_s),
        memory_mb=sum(peaks_mb.values()),
        findings=reference.findings(task.series, task.frames, written.outputs, task.model),
    )


def hold_backlog(task: Task, engine: Engine) -> None:
    """Profile and frames into the log of a paused engine."""
    kafka = engine.settings.kafka
    profile = profile_of(task.job, with_model=bool(task.model))
    time.sleep(_SETTLE_S)  # until every shard has seen the pause
    publish(kafka, [profile], [assignment_of(profile)])
    topics.fill(kafka, "telemetry", task.series, task.frames)


def _servers(cpu_s: dict[str, float]) -> dict[str, float]:
    return {role: round(cpu_s.get(role, 0.0), 2) for role in SERVERS if role in cpu_s}
