"""One contender over a topic that is full already: from its first record to its last output."""

from pathlib import Path
from typing import Final

from adapters.kafka.controls import publish
from benchmarks.fleet import reference, topics
from benchmarks.fleet.catalog import OURS, Contender
from benchmarks.fleet.launch import launched
from benchmarks.fleet.place import Engine, Servers
from benchmarks.fleet.profile import assignment_of, profile_of
from benchmarks.fleet.task import SERVERS, Result, Task

_PROCESSED_S: Final = 600.0


def run_contender(
    contender: Contender, python: Path, task: Task, servers: Servers, source: str, folder: Path
) -> Result:
    """Start it on topic `source`, wait for its outputs, end it, check what it wrote."""
    beside = servers.watch()
    beside.start()
    with launched(contender, python, task, servers, source, folder) as running:
        problem = running.await_outputs(task.outputs)
    beside.stop()
    written = topics.read_outputs(servers.kafka, task.job, running.seconds, running.scores)
    begin_s, end_s = running.first_s(written.first_s), written.last_s
    found = reference.findings(task.series, task.frames, written.outputs, task.model)
    return Result(
        contender=contender.name,
        samples=task.samples,
        seconds=end_s - begin_s,
        cpu_s=sum(running.watch.cpu_between(begin_s, end_s).values()),
        cpu_by_role_s={},
        servers_cpu_s=of_servers(beside.cpu_between(begin_s, end_s)),
        memory_mb=sum(running.watch.peaks_mb().values()),
        findings=[problem] * bool(problem) + found,
    )


def run_ours(task: Task, engine: Engine) -> Result:
    """The frames are in `telemetry` and the engine is held back: let it go."""
    assert engine.backlog is not None
    watch = engine.servers.watch()
    watch.start()
    done = engine.backlog.work_off(_PROCESSED_S)
    watch.stop()
    written = topics.read_results(engine.settings.kafka, task.job)
    cpu_s = watch.cpu_between(done.resumed_s, done.end_s)
    ours = {role: spent for role, spent in cpu_s.items() if role not in SERVERS}
    peaks_mb = {role: peak for role, peak in watch.peaks_mb().items() if role not in SERVERS}
    return Result(
        contender=OURS,
        samples=task.samples,
        seconds=done.seconds,
        cpu_s=sum(ours.values()),
        cpu_by_role_s={role: round(spent, 2) for role, spent in ours.items()},
        servers_cpu_s=of_servers(cpu_s),
        memory_mb=sum(peaks_mb.values()),
        findings=reference.findings(task.series, task.frames, written.outputs, task.model),
    )


def hold_backlog(task: Task, engine: Engine) -> None:
    """Profile and frames into the log of an engine that is held back."""
    publish_job(task, engine)
    topics.fill(engine.settings.kafka, "telemetry", task.series, task.frames)


def publish_job(task: Task, engine: Engine) -> None:
    """The job's profile, for the bench's devices."""
    profile = profile_of(task.job, with_model=bool(task.model))
    publish(engine.settings.kafka, [profile], [assignment_of(profile)])


def of_servers(cpu_s: dict[str, float]) -> dict[str, float]:
    """Broker's and PostgreSQL's part."""
    return {role: round(cpu_s.get(role, 0.0), 2) for role in SERVERS if role in cpu_s}
