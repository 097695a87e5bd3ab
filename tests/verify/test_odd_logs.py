"""Odd fleets: the engine and the offline computation agree on every rate, rhythm and disorder."""

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.offline.outcome import compute
from fleetpulse.identity import partition_of
from fleetpulse.profile import AlertRule, Profile, RateLimit, WindowSpec, ZScoreSpec
from fleetpulse.snapshot import FIRST_RESULT_VERSION
from fleetpulse.telemetry_pb2 import (
    Assignment,
    Forget,
    Pause,
    ResultVersion,
    SampleBlock,
    Savepoint,
    Telemetry,
)
from tests.verify.test_engine_agrees import PARTITIONS, findings, recorded, run_engine
from tests.verify.tiny_log import control, profile

Log = list[tuple[int, float, bytes, bytes]]
DAY_S = 86_400
EPOCHS_S = {"1970": 2 * DAY_S, "2025": 20_000 * DAY_S, "2100": 47_500 * DAY_S}
DEVICES = [b"default/a", b"default/b", b"other/c"]


def odd_profile(rng: np.random.Generator, name: str) -> Profile:
    rate_hz = float(rng.choice([1000, 200, 3, 1, 1 / 300]))
    size = int(rng.choice([1, 3, 8, 40]))
    lateness_slots = int(rng.choice([0, 0, 2, 15, 70]))
    return profile(
        name=name,
        channels=tuple(f"c{i}" for i in range(rng.choice([1, 2, 64], p=[0.45, 0.45, 0.1]))),
        rate_hz=rate_hz,
        lateness_ms=min(int(lateness_slots * 1000 / rate_hz), 3_600_000),
        past_bound_s=30 * DAY_S,
        future_bound_s=3600,
        block_samples_max=int(rng.choice([1, 2, 7, 30])),
        rate_limit=[None, RateLimit(), RateLimit(factor=1, burst_s=0), RateLimit(factor=1.7)][
            rng.integers(4)
        ],
        window=WindowSpec(
            size=size,
            hop=int(rng.choice([1, max(1, size // 2), size])),
            coverage_min=float(rng.choice([0.05, 0.3, 0.55, 1])),
            aligned=bool(rng.random() < 0.5),
        ),
        model=None if rng.random() < 0.5 else "mean@1",
        zscore=ZScoreSpec(half_life_windows=3, warmup_windows=2),
        alert=AlertRule(
            threshold=2.3,
            raise_after=int(rng.integers(1, 3)),
            clear_ratio=float(rng.choice([0.5, 1])),
            clear_after=int(rng.integers(1, 3)),
            dedup_s=float(rng.choice([0, 2, 900])),
        ),
    )


def odd_log(seed: int) -> Log:
    """Three devices: frames of other rates, single channels, gaps, repeats, jumps, new profiles."""
    rng = np.random.default_rng(seed)
    used, other = odd_profile(rng, "used"), odd_profile(rng, "other")
    epoch_s = EPOCHS_S[rng.choice(list(EPOCHS_S))]
    log: Log = []
    for value in (
        control("p1", profile_yaml=used.to_yaml()),
        control("p2", profile_yaml=other.to_yaml()),
        control("a", assignment=Assignment(profile="used")),
    ):
        log += [(p, epoch_s, b"!control", value) for p in range(PARTITIONS)]
    now_ns = dict.fromkeys(DEVICES, epoch_s * 10**9)
    profiles = dict.fromkeys(DEVICES, used)
    for step in range(int(rng.integers(5, 60))):
        log_time_s = max(now_ns.values()) / 1e9
        if rng.random() < 0.08:
            value = control(f"d{step}", **odd_change(rng))
            log += [(p, log_time_s, b"!control", value) for p in range(PARTITIONS)]
            continue
        if rng.random() < 0.03:
            tenant, device = DEVICES[rng.integers(len(DEVICES))].decode().split("/")
            value = control(f"f{step}", forget=Forget(tenant=tenant, device_id=device))
            log += [(p, log_time_s, b"!control", value) for p in range(PARTITIONS)]
            continue
        if rng.random() < 0.04:
            wanted = other if rng.random() < 0.7 else used
            assignment = Assignment(tenant="default", profile=wanted.name)
            value = control(f"c{step}", assignment=assignment)
            log += [(p, log_time_s, b"!control", value) for p in range(PARTITIONS)]
            profiles = {k: wanted if k.startswith(b"default") else used for k in DEVICES}
            continue
        key = DEVICES[rng.integers(len(DEVICES))]
        begin_ns, value, end_ns = odd_record(rng, profiles[key], now_ns[key])
        now_ns[key] = max(now_ns[key], end_ns)
        if rng.random() < 0.01:
            now_ns[key] += 7 * 3600 * 10**9
        log += [(partition_of(key, PARTITIONS), begin_ns / 1e9, key, value)] * int(
            rng.choice([1, 2], p=[0.93, 0.07])
        )
    return log


def odd_change(rng: np.random.Generator) -> dict[str, Any]:
    """Some devices are paused or resumed, or something that changes no result."""
    if rng.random() < 0.2:
        return {"savepoint": Savepoint(name=str(rng.choice(["monday", "", "a/b"])))}
    if rng.random() < 0.1:
        return {"result_version": ResultVersion(version=int(rng.choice([0, FIRST_RESULT_VERSION])))}
    pattern = str(rng.choice(["", "a", "[bc]"]))
    tenant = str(rng.choice(["", "default", "other"]))
    return {"pause": Pause(tenant=tenant, device_pattern=pattern, paused=bool(rng.random() < 0.5))}


def odd_record(rng: np.random.Generator, used: Profile, now_ns: int) -> tuple[int, bytes, int]:
    """(begin, value, end): a record near `now_ns`, sometimes early, late or far off."""
    shift = int(rng.choice([0, 1, 3, 60, -1, -4, -30, -900], p=[0.72, *[0.04] * 7]))
    begin_ns = now_ns + shift * used.period_ns
    channels = used.channels
    if rng.random() < 0.3:
        some = rng.random(len(channels)) < 0.7
        metrics = {
            name: float(rng.integers(6)) for name, has in zip(channels, some, strict=True) if has
        }
        ts = begin_ns // 10**6
        value = Telemetry(ts=ts, metrics=metrics).SerializeToString()
        # the same slot again, or the next one
        return begin_ns, value, begin_ns + int(rng.integers(2)) * used.period_ns
    count = min(int(rng.integers(1, 40)), used.block_samples_max + int(rng.random() < 0.02))
    factor = float(rng.choice([1, 0.5, 1.5, 2, 7, 40], p=[0.75, *[0.05] * 5]))
    period_ns = round(used.period_ns * factor)
    samples = rng.integers(0, 6, (count, len(channels))).astype("<f4")
    block = SampleBlock(
        t0_us=begin_ns // 1000, period_ns=period_ns, count=count, samples=samples.tobytes()
    )
    return begin_ns, block.SerializeToString(), begin_ns + count * period_ns


@settings(max_examples=60, deadline=None, print_blob=True)
@given(seed=st.integers(0, (1 << 32) - 1), cut=st.integers(1, 40))
def test_odd_logs_agree(models: Path, seed: int, cut: int) -> None:
    log = odd_log(seed)
    partitions, offsets = recorded(log)
    wrong = findings(compute(partitions, models), run_engine(log, offsets, [cut]))
    assert not wrong, "\n".join(map(str, wrong))
