"""The engine, on random logs cut into random batches, emits what the offline computation says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.offline import compare
from benchmarks.offline.alerts import Alert
from benchmarks.offline.outcome import Outcome, Owed, compute
from benchmarks.offline.records import Record
from benchmarks.offline.rollups import Rollup, Stats
from benchmarks.offline.sessions import Session
from fleetpulse.effects import RESOLUTION_S, Effects, RollupRows, SessionEvent
from fleetpulse.engine import Engine, PartitionState, cut_at_controls
from fleetpulse.identity import partition_of
from fleetpulse.ports import RecordBatch
from fleetpulse.profile import AlertRule, Profile, RateLimit, SessionSpec, WindowSpec, ZScoreSpec
from fleetpulse.telemetry_pb2 import Assignment, Forget
from tests.verify.tiny_log import MINUTE_S, block, control, profile, sample

PARTITIONS = 2
DEVICES = [b"default/a", b"default/b", b"default/c", b"default/d"]
CHANNELS = ("x", "y")


@st.composite
def profiles(draw: st.DrawFn, name: str) -> Profile:
    size = draw(st.sampled_from([1, 2, 4, 8, 16]))
    rate_hz = draw(st.sampled_from([0.4, 1, 3, 10, 200]))
    lateness_slots = draw(st.sampled_from([0, 1, 3, 20]))
    return profile(
        name=name,
        channels=CHANNELS[: draw(st.integers(1, 2))],
        rate_hz=rate_hz,
        lateness_ms=int(lateness_slots * 1000 / rate_hz),
        past_bound_s=200,
        block_samples_max=draw(st.sampled_from([2, 6])),
        rate_limit=draw(st.sampled_from([None, RateLimit(factor=1.5, burst_s=0)])),
        window=WindowSpec(
            size=size,
            hop=draw(st.integers(1, size)),
            coverage_min=draw(st.sampled_from([0.2, 0.5, 1.0])),
            aligned=draw(st.booleans()),
        ),
        model=draw(st.sampled_from([None, "mean@1"])),
        zscore=ZScoreSpec(half_life_windows=3, warmup_windows=2),
        alert=AlertRule(
            threshold=2.3,
            raise_after=draw(st.integers(1, 2)),
            clear_ratio=draw(st.sampled_from([0.5, 1.0])),
            clear_after=draw(st.integers(1, 3)),
            dedup_s=draw(st.sampled_from([0, 2])),
        ),
        offline_after_s=draw(st.sampled_from([None, 5, 9])),
        session=draw(
            st.sampled_from(
                [
                    None,
                    SessionSpec(channel=CHANNELS[0], above=3, gap_s=1),
                    SessionSpec(channel=CHANNELS[0], above=2, gap_s=4),
                ]
            )
        ),
    )


@st.composite
def records(
    draw: st.DrawFn, used: Profile, other: Profile
) -> list[tuple[int, float, bytes, bytes]]:
    """(partition, log time, key, value): devices move on in time, with gaps and relapses."""
    now_slot = {key: _slot(used, MINUTE_S) for key in DEVICES}
    values = st.integers(0, 5)
    out = []
    log_time_s = MINUTE_S + 100.0
    for step in range(draw(st.integers(1, 40))):
        key = draw(st.sampled_from(DEVICES))
        kind = draw(st.sampled_from(["block"] * 8 + ["odd", "sample", "control", "noise", "quiet"]))
        start = now_slot[key] + draw(st.sampled_from([0] * 12 + [-1, -3, -7, -40, 1, 2, 9, 70]))
        count = draw(st.integers(1, used.block_samples_max))
        start_s = start * used.period_ns / 1e9
        width = len(used.channels)
        if kind == "control":
            wanted = draw(st.sampled_from([used, other]))
            assignment = Assignment(device_pattern="[ab]", profile=wanted.name)
            value = control(f"c{step}", assignment=assignment)
            out += [(p, log_time_s, b"!control", value) for p in range(PARTITIONS)]
            # a device goes on later: a recomputation says each alert and session once
            pause = 100 + 6_000_000_000 // used.period_ns
            now_slot = {key: slot + pause for key, slot in now_slot.items()}
            continue
        if kind == "quiet":
            for _ in range(draw(st.integers(1, 12))):
                log_time_s += draw(st.sampled_from([0.3, 1, 1, 1.9, 60]))
                out += [(p, log_time_s, b"!tick", b"") for p in range(PARTITIONS)]
            continue
        if kind == "noise":
            value = draw(st.sampled_from([b"", b"\x41", b"?", block(start_s, [1.0, np.inf])]))
        elif kind == "sample":
            names = draw(st.sets(st.sampled_from(used.channels), min_size=1))
            value = sample(start_s, **{name: float(draw(values)) for name in names})
        else:
            cells = draw(st.lists(values, min_size=count * width, max_size=count * width))
            slots = 2 if kind == "odd" else 1
            period_ms = used.period_ns * slots / 1e6
            value = block(start_s, [*map(float, cells)], period_ms=period_ms, channels=width)
            now_slot[key] = max(now_slot[key], start + count * slots)
        log_time_s += draw(st.sampled_from([0, 0, 0.5, 40]))
        out.append((partition_of(key, PARTITIONS), log_time_s, key, value))
    return out


def _slot(used: Profile, time_s: float) -> int:
    return round(time_s * 1e9 / used.period_ns)


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[tuple[int, float, bytes, bytes]], list[int]]:
    used, other = draw(profiles("used")), draw(profiles("other"))
    begin = [
        control("p1", profile_yaml=used.to_yaml()),
        control("p2", profile_yaml=other.to_yaml()),
        control("a1", assignment=Assignment(device_pattern="*", profile="used")),
    ]
    controls = [
        (partition, MINUTE_S, b"!control", value)
        for value in begin
        for partition in range(PARTITIONS)
    ]
    log = controls + draw(records(used, other))
    cuts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    return log, cuts


def recorded(
    log: list[tuple[int, float, bytes, bytes]],
) -> tuple[dict[int, list[Record]], list[int]]:
    """The log by partition, and each record's offset."""
    partitions: dict[int, list[Record]] = {partition: [] for partition in range(PARTITIONS)}
    offsets = []
    for partition, time_s, key, value in log:
        offsets.append(len(partitions[partition]))
        partitions[partition].append(Record(offsets[-1], round(time_s * 1e6), key, value))
    return partitions, offsets


def batches(
    log: list[tuple[int, float, bytes, bytes]], offsets: list[int], cuts: list[int]
) -> Iterator[RecordBatch]:
    begin = turn = 0
    while begin < len(log):
        end = begin + cuts[turn % len(cuts)]
        part = log[begin:end]
        yield RecordBatch(
            np.array([record[0] for record in part], np.int32),
            np.array(offsets[begin:end], np.int64),
            np.array([round(record[1] * 1e6) for record in part], np.int64),
            [record[2] for record in part],
            [record[3] for record in part],
        )
        begin, turn = end, turn + 1


def run_engine(
    log: list[tuple[int, float, bytes, bytes]], offsets: list[int], cuts: list[int]
) -> Effects:
    engine = Engine(PARTITIONS)
    engine.partitions = {partition: PartitionState() for partition in range(PARTITIONS)}
    effects = Effects()
    for whole in batches(log, offsets, cuts):
        for batch in cut_at_controls(whole):
            windows = engine.step(batch)
            scores = [window.samples.mean(axis=(1, 2), dtype=np.float64) for window in windows]
            effects.extend(engine.conclude([score.astype(np.float32) for score in scores]))
    return effects


def stats(rows: RollupRows, at: int, channel: int) -> Stats:
    fields = (rows.count, rows.min, rows.max, rows.mean, rows.std)
    count, *others = (field[at, channel].item() for field in fields)
    return Stats(count, *others)


def score_stats(rows: RollupRows, at: int) -> Stats:
    fields = (rows.score_count, rows.score_min, rows.score_max, rows.score_mean, rows.score_std)
    count, *others = (field[at].item() for field in fields)
    return Stats(count, *others)


def session(event: SessionEvent) -> Session:
    if event.summary is None:
        return Session(event.session_id, event.started_at_us, event.ended_at_us)
    s = event.summary
    columns = (s.count, s.min, s.max, s.mean, s.std)
    return Session(
        event.session_id,
        event.started_at_us,
        event.ended_at_us,
        tuple(Stats(*values) for values in zip(*columns, strict=True)),
        Stats(s.score_count, s.score_min, s.score_max, s.score_mean, s.score_std),
        s.score_over,
    )


def findings(outcome: Outcome, effects: Effects) -> list[compare.Finding]:
    scores = [
        ((key, int(start), int(end)), float(score))
        for rows in effects.scores
        for key, start, end, score in zip(
            rows.devices, rows.window_start_us, rows.window_end_us, rows.scores, strict=True
        )
    ]
    rollups = [
        (
            (key, RESOLUTION_S[rows.resolution], int(rows.bucket_us[at])),
            Rollup(
                tuple(stats(rows, at, c) for c in range(rows.count.shape[1])),
                score_stats(rows, at),
                int(rows.score_over[at]),
            ),
        )
        for rows in effects.rollups
        for at, key in enumerate(rows.devices)
    ]
    alerts = [
        (
            (f"{e.tenant}/{e.device_id}".encode(), e.alert_id, e.kind),
            Alert(
                e.alert_id,
                e.kind,
                e.at_us,
                e.raised_at_us,
                e.window_start_us,
                e.window_end_us,
                e.score,
                e.peak_score,
            ),
        )
        for e in effects.alerts
    ]
    presences = [
        ((f"{each.tenant}/{each.device_id}".encode(), each.kind, each.at_us), each.heard_us)
        for each in effects.presences
    ]
    sessions = [
        ((f"{e.tenant}/{e.device_id}".encode(), e.session_id, e.kind), session(e))
        for e in effects.sessions
    ]
    dead = [((each.partition, each.offset), each.reason.value) for each in effects.dead]
    late = [((each.partition, each.offset), "") for each in effects.late]
    forgotten = [
        ((each.partition, each.offset), f"{each.tenant}/{each.device_id}".encode())
        for each in effects.forgotten
    ]
    once: Any = compare.compare_once

    def lives(owed: Owed[Any, Any], seen: Any, name: Any, difference: Any) -> Any:
        return once(owed, seen, name, difference, owed.earlier)

    return [
        *lives(outcome.scores, scores, compare.score_name, compare.score_difference),
        *lives(outcome.rollups, rollups, compare.rollup_name, compare.rollup_difference),
        *lives(outcome.alerts, alerts, compare.alert_name, compare.alert_difference),
        *once(outcome.presences, presences, compare.presence_name, compare.presence_difference),
        *lives(outcome.sessions, sessions, compare.session_name, compare.session_difference),
        *once(outcome.dead, dead, compare.rejection_name, compare.reason_difference),
        *once(outcome.forgotten, forgotten, compare.rejection_name, compare.device_difference),
        *once(
            dict.fromkeys(outcome.late, ""), late, compare.rejection_name, compare.reason_difference
        ),
    ]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
@given(drawn=logs())
def test_the_engine_agrees(
    models: Path, drawn: tuple[list[tuple[int, float, bytes, bytes]], list[int]]
) -> None:
    log, cuts = drawn
    partitions, offsets = recorded(log)
    outcome = compute(partitions, models)
    wrong = findings(outcome, run_engine(log, offsets, cuts))
    assert not wrong, "\n".join(map(str, wrong))


def test_a_control_id_counts_again_when_it_is_forgotten(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetpulse.control.SEEN_MAX", 3)
    monkeypatch.setattr("benchmarks.offline.records.ACTS_REMEMBERED", 3)
    gone = Forget(tenant="default", device_id="a")
    names = ["a", "b", "c", "a", "d", "b", "a", "a", "c", "b", "d"]
    values = [control(name, forget=gone) for name in names]
    records = [Record(at, 0, b"!control", value) for at, value in enumerate(values)]
    home = partition_of(b"default/a", PARTITIONS)
    log = [(home, 0.0, b"!control", value) for value in values]
    partitions = {p: records if p == home else [] for p in range(PARTITIONS)}
    outcome = compute(partitions, models)
    effects = run_engine(log, list(range(len(log))), [2])
    assert not findings(outcome, effects)
    assert [each.offset for each in effects.forgotten] == [0, 1, 2, 4, 6, 9]
