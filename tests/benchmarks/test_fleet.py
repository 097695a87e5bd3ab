"""The fleet job: its bytes, its independent reference, and the bound that passes it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.fleet import reference, topics
from benchmarks.fleet.catalog import CONTENDERS
from benchmarks.fleet.job import JOBS, PARTITIONS, SCORE, SECOND, SECOND_US, Job, phase_of
from benchmarks.fleet.model import store
from benchmarks.fleet.place import Servers
from benchmarks.fleet.reference import Outputs, Rows
from benchmarks.fleet.run import run_contender
from benchmarks.fleet.series import Series
from benchmarks.fleet.task import Task, whole_seconds_and_a_half
from benchmarks.processes import ProcessWatch
from fleetpulse.settings import KafkaSettings
from fleetpulse.wire import canonical_layout, decode_block

START_US = 1_600_000_000_000_000
DEVICES = 12


@pytest.mark.parametrize("name", JOBS)
def test_frames_are_what_devices_send(name: str) -> None:
    series = Series(replace(JOBS[name], devices=DEVICES), START_US)

    values = series.encoded(3)

    assert len(values) == DEVICES
    for device, value in enumerate(values):
        assert canonical_layout(value), "the engine slices it"
        block = decode_block(value)
        samples = np.frombuffer(block.samples, "<f4").reshape(block.count, -1)
        assert block.t0_us == START_US + 3 * series.job.frame_us
        assert block.sequence == 3
        assert (samples == series.samples(3)[device]).all()


def test_disorder_loses_no_frame() -> None:
    series = Series(replace(JOBS["fleet-200-disorder"], devices=DEVICES, disorder=0.2), START_US)

    sent = [
        (device, decode_block(value).sequence, number)
        for number, frames in enumerate(series.rounds(40))
        for device, value in zip(frames.device.tolist(), frames.values, strict=True)
    ]

    expected = {(device, frame) for device in range(DEVICES) for frame in range(40)}
    assert {(device, frame) for device, frame, _ in sent} == expected
    assert len(sent) == len(expected)
    late = [number - frame for _, frame, number in sent if number != frame]
    assert 0.1 < len(late) / len(sent) < 0.3
    assert max(late) <= 10, "at most a second"


def correct(series: Series, frames: int) -> Outputs:
    """Seconds and scores of all devices, one by one."""
    job = series.job
    whole = np.concatenate([series.samples(number) for number in range(frames)], axis=1)
    seconds, scores = [], []
    for device, key in enumerate(job.device_keys()):
        for second in range(job.seconds(frames)):
            part = whole[device, second * 200 : (second + 1) * 200].astype(float)
            at_us = series.start_us + second * SECOND_US
            row = (at_us, 200, part.min(0), part.max(0), part.mean(0), part.std(0))
            seconds.append((device, np.array(row, SECOND)))
        for window in range(job.windows(frames, phase_of(key))):
            at_us = series.start_us + (phase_of(key) + window * 128) * 5000
            scores.append((device, np.array((at_us, 0.0), SCORE)))
    return Outputs(rows_of(seconds), rows_of(scores))


def rows_of(found: list[tuple[int, NDArray[Any]]]) -> Rows:
    return Rows(np.array([device for device, _ in found]), np.stack([row for _, row in found]))


@pytest.fixture
def series() -> Series:
    return Series(Job("small", devices=DEVICES), START_US)


def without_last(rows: Rows) -> Rows:
    return Rows(rows.device[:-1], rows.rows[:-1])


def doubled(rows: Rows) -> Rows:
    return Rows(np.append(rows.device, rows.device[:1]), np.append(rows.rows, rows.rows[:1]))


def shifted(rows: Rows, field: str, by: float) -> Rows:
    changed = rows.rows.copy()
    changed[field] += changed[field].dtype.base.type(by)
    return Rows(rows.device, changed)


def test_the_reference_accepts_what_is_right(series: Series) -> None:
    assert not reference.findings(series, 45, correct(series, 45), model="")


@pytest.mark.parametrize("kind", ["seconds", "scores"])
def test_the_reference_finds_what_is_lost_or_doubled(series: Series, kind: str) -> None:
    outputs = correct(series, 45)
    for wrong in (without_last, doubled):
        spoilt = replace(outputs, **{kind: wrong(getattr(outputs, kind))})
        assert any(kind in each for each in reference.findings(series, 45, spoilt, model=""))


@pytest.mark.parametrize("field", [name for name in SECOND.names or () if name != "count"])
def test_the_reference_finds_another_value(series: Series, field: str) -> None:
    outputs = correct(series, 45)
    spoilt = replace(
        outputs, seconds=shifted(outputs.seconds, field, 0.01 + (field[:5] == "start"))
    )
    assert any(field in each for each in reference.findings(series, 45, spoilt, model=""))


def test_the_reference_finds_another_score(series: Series, tmp_path: Path) -> None:
    model = str(store(tmp_path))
    found = reference.findings(series, 45, correct(series, 45), model)
    assert any("score differs" in each for each in found)


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("contender", ["limit", "plain"])
def test_contenders_compute_the_job(
    contender: str, name: str, kafka: KafkaSettings, tmp_path: Path
) -> None:
    job = replace(JOBS[name], devices=DEVICES)
    model = "" if job.frame_samples == 1 else str(store(tmp_path / "models"))
    frames = whole_seconds_and_a_half(job, 3 * 200 // job.frame_samples)
    task = Task(Series(job, START_US), frames, model)
    topic = f"{contender}.{name}"
    kafka = kafka.model_copy(update={"partitions": PARTITIONS})
    topics.create(kafka, [topic])
    topics.fill(kafka, topic, task.series, task.frames)
    servers = Servers(kafka, lambda: ProcessWatch("FLEETPULSE_NOBODY", "nobody"))

    chosen, python = CONTENDERS[contender], Path(sys.executable)
    result = run_contender(chosen, python, task, servers, topic, tmp_path / "run")

    assert not result.findings
    assert result.samples == task.frames * job.frame_samples * DEVICES
    assert result.memory_mb > 0


def test_a_contender_that_ends_early_is_named(kafka: KafkaSettings, tmp_path: Path) -> None:
    job = replace(JOBS["fleet-200"], devices=DEVICES)
    task = Task(Series(job, START_US), whole_seconds_and_a_half(job, 30), "")
    topics.create(kafka, ["nothing"])
    servers = Servers(kafka, lambda: ProcessWatch("FLEETPULSE_NOBODY", "nobody"))
    broken = replace(CONTENDERS["plain"], arguments=("-c", "raise SystemExit('no such engine')"))

    result = run_contender(broken, Path(sys.executable), task, servers, "nothing", tmp_path / "run")

    assert "it ended with status 1: no such engine" in result.findings
