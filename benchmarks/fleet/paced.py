"""One contender while devices send in real time: how long a window's score takes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from threading import Event, Thread
from typing import Final

import numpy as np
from confluent_kafka import TopicPartition as Place

from benchmarks.check import await_processed
from benchmarks.child import said, start_module
from benchmarks.fleet import reference, topics
from benchmarks.fleet.catalog import OURS, Contender
from benchmarks.fleet.job import PARTITIONS, SCORE, STEP_US, WINDOW
from benchmarks.fleet.launch import launched
from benchmarks.fleet.pacer import Pace
from benchmarks.fleet.place import Engine, Servers
from benchmarks.fleet.run import of_servers, publish_job
from benchmarks.fleet.task import SERVERS, Result, Task
from benchmarks.report import Latency
from benchmarks.topics import consumer
from fleetpulse.settings import KafkaSettings, Settings
from fleetpulse.telemetry_pb2 import Score

WARM_S: Final = 8.0
"""Of real time that is sent before anything counts."""
_BATCH: Final = 1000
_POLL_S: Final = 0.2
_GENERATOR_S: Final = 300.0
_STALL_S: Final = 20.0
_PROCESSED_S: Final = 120.0


@dataclass(slots=True)
class ScoreTimes:
    """When a read_committed consumer had each score of a topic; a thread of its own reads."""

    kafka: KafkaSettings
    topic: str
    _raw: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """From the topic's beginning."""
        self._thread = Thread(target=self._run, name="score-times", daemon=True)
        self._thread.start()

    def stop(self) -> list[tuple[int, bytes, bytes]]:
        """End; time in µs, key and value of each."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        return self._raw

    def _run(self) -> None:
        name = self.kafka.topic(self.topic)
        with consumer(self.kafka, **{"enable.partition.eof": False}) as reader:
            reader.assign([Place(name, partition, 0) for partition in range(PARTITIONS)])
            while not self._stop.is_set():
                # consume alone would wait until the batch is full
                first = reader.poll(_POLL_S)
                if first is None:
                    continue
                messages = [first, *reader.consume(_BATCH, 0)]
                now_us = time.time_ns() // 1000
                for message in messages:
                    if not message.error():
                        self._raw.append((now_us, message.key() or b"", message.value() or b""))


@dataclass(frozen=True, slots=True)
class Load:
    """A task that devices send in real time."""

    task: Task
    topic: str
    settings: Settings
    folder: Path

    @property
    def counted_s(self) -> tuple[float, float]:
        """Real time that counts: from the end of the warm-up to the last frame."""
        start_s = self.task.series.start_us / 1e6
        return start_s + WARM_S, start_s + self.task.frames * self.task.job.frame_us / 1e6

    @property
    def pace(self) -> Pace:
        """When each frame is due."""
        return Pace(self.task.job, self.topic, self.task.series.start_us, self.task.frames)

    def send(self) -> float:
        """All of it; returns how late the generator was, in ms."""
        path = self.folder / "pace.json"
        self.pace.write(path)
        process: Popen[str] = start_module(self.settings, "benchmarks.fleet.pacer", path)
        try:
            output, _ = process.communicate(timeout=_GENERATOR_S)
        finally:
            process.kill()
        return float(said(process, output)["late_ms"])

    def latency(
        self, raw: list[tuple[int, bytes, bytes]], start_of: Callable[[bytes], int]
    ) -> Latency:
        """From the time when a window's last frame was due."""
        job = self.task.job
        numbers = {key: number for number, key in enumerate(job.device_keys())}
        scores = [(at, numbers[key], start_of(value)) for at, key, value in raw if key in numbers]
        if not scores:
            return Latency.of([])
        at_us, device, start_us = np.array(scores, np.int64).T
        samples = (start_us - self.task.series.start_us) // STEP_US + WINDOW - 1
        due_us = self.pace.due_us(device, samples // job.frame_samples)
        counted = due_us >= self.counted_s[0] * 1e6
        return Latency.of((at_us - due_us)[counted].tolist())


def pace_contender(contender: Contender, python: Path, load: Load, servers: Servers) -> Result:
    """It is started before the devices are."""
    beside = servers.watch()
    beside.start()
    task = load.task
    with launched(contender, python, task, servers, load.topic, load.folder) as running:
        times = ScoreTimes(servers.kafka, running.scores)
        times.start()
        late_ms = load.send()
        problem = running.await_outputs(task.outputs, _STALL_S)
        raw = times.stop()
    beside.stop()
    written = topics.read_outputs(servers.kafka, task.job, running.seconds, running.scores)
    return _result(
        contender.name,
        load,
        running.watch.cpu_between(*load.counted_s) | beside.cpu_between(*load.counted_s),
        sum(running.watch.peaks_mb().values()),
        findings=[problem] * bool(problem)
        + reference.findings(task.series, task.frames, written.outputs, task.model),
        latency_ms=load.latency(raw, lambda value: int(np.frombuffer(value, SCORE)["start_us"][0])),
        late_ms=late_ms,
    )


def pace_ours(load: Load, engine: Engine) -> Result:
    """The stack runs and follows the log."""
    publish_job(load.task, engine)
    kafka = engine.settings.kafka
    load.folder.mkdir(parents=True)
    times = ScoreTimes(kafka, "scores")
    times.start()
    watch = engine.servers.watch()
    watch.start()
    late_ms = load.send()
    await_processed(engine.settings, _PROCESSED_S)
    watch.stop()
    time.sleep(_POLL_S)
    raw = times.stop()
    peaks_mb = {role: peak for role, peak in watch.peaks_mb().items() if role not in SERVERS}
    written = topics.read_results(kafka, load.task.job)
    task = load.task
    return _result(
        OURS,
        load,
        watch.cpu_between(*load.counted_s),
        sum(peaks_mb.values()),
        findings=reference.findings(task.series, task.frames, written.outputs, task.model),
        latency_ms=load.latency(raw, lambda value: Score.FromString(value).window_start_us),
        late_ms=late_ms,
    )


def _result(
    contender: str,
    load: Load,
    cpu_s: dict[str, float],
    memory_mb: float,
    *,
    findings: list[str],
    latency_ms: Latency,
    late_ms: float,
) -> Result:
    own = {role: spent for role, spent in cpu_s.items() if role not in SERVERS}
    begin_s, end_s = load.counted_s
    job = load.task.job
    return Result(
        contender=contender,
        samples=round((end_s - begin_s) * 1e6) // job.frame_us * job.frame_samples * job.devices,
        seconds=end_s - begin_s,
        cpu_s=sum(own.values()),
        cpu_by_role_s={role: round(spent, 2) for role, spent in own.items()},
        servers_cpu_s=of_servers(cpu_s),
        memory_mb=memory_mb,
        findings=findings,
        latency_ms=latency_ms,
        late_ms=late_ms,
    )
