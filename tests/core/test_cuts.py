"""Results are a function of the log: not of poll batches, restarts or neighbours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetpulse.effects import Effects
from fleetpulse.profile import AlertRule, Profile, SessionSpec, WindowSpec, ZScoreSpec
from tests.core.logs import T0_US, Log, difference, feed, frame, fresh_engine, per_device, reborn


def pump(**changes: object) -> Profile:
    base: dict[str, object] = {
        "name": "pump",
        "channels": ("a", "b"),
        "rate_hz": 50,
        "lateness_ms": 400,
        "block_samples_max": 30,
        "window": WindowSpec(size=32, hop=10, coverage_min=0.6),
        "model": "any@1",
        "alert": AlertRule(threshold=8.0, raise_after=2, clear_after=2, dedup_s=1),
        "offline_after_s": 7,
        "session": SessionSpec(channel="b", above=2.0, gap_s=2),
    }
    return Profile(**{**base, **changes})  # type: ignore[arg-type]


def fan() -> Profile:
    return pump(
        name="fan", model=None, lateness_ms=0, zscore=ZScoreSpec(warmup_windows=4), session=None,
        alert=AlertRule(threshold=2.0, raise_after=1, clear_after=1, dedup_s=0),
    )  # fmt: skip


def disorderly_log(seed: int) -> Log:
    """Five devices, some fans; frames lost, late, twice, swapped and after long silences."""
    rng = np.random.default_rng(seed)
    log = Log()
    log.profile(pump())
    log.profile(fan(), "fan-*")
    pending: list[tuple[float, str, int, int]] = []
    for device in range(5):
        name = f"fan-{device}" if device > 2 else f"pump-{device}"
        at, now = 0, 0.0
        for _ in range(int(rng.integers(5, 40))):
            count = int(rng.integers(1, 31))
            kind = rng.choice(
                ["ok", "lost", "twice", "late", "silence"], p=[0.8, 0.05, 0.05, 0.07, 0.03]
            )
            delay = float(rng.uniform(0, 60)) if kind == "late" else 0.0
            if kind != "lost":
                pending.append((now + delay, name, at, count))
            if kind == "twice":
                pending.append((now + float(rng.uniform(0, 20)), name, at, count))
            at += count
            now += count
            if kind == "silence":
                jump = int(rng.integers(1, 5000))
                at, now = at + jump, now + jump
    ticked, clock = 0.0, np.random.default_rng(seed)
    for when, name, at, count in sorted(pending):
        while when - ticked > 50:  # a second; after some ticks nobody accepted data for a while
            ticked += 50 if clock.random() > 0.05 else float(clock.uniform(50, 500))
            log.tick(T0_US + int(ticked + 64) * 20_000)
        profile = fan() if name.startswith("fan") else pump()
        log_time = T0_US + int(when + 64) * 20_000
        log.device(name, frame(profile, int(name[-1]), at, count), log_time)
        if rng.random() < 0.05:
            log.tick(log_time)
        if rng.random() < 0.02:
            log.device(name, b"garbage", log_time)
    return log


def results(log: Log, cuts: list[int], restarts: set[int]) -> Effects:
    engine, effects, begin = fresh_engine(), Effects(), 0
    for i, cut in enumerate([*cuts, len(log.keys)]):
        effects.extend(feed(engine, log.batch(begin, cut)))
        begin = cut
        if i in restarts:
            engine = reborn(engine)
    return effects


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_results_do_not_depend_on_cuts_or_restarts(data: st.DataObject) -> None:
    log = disorderly_log(data.draw(st.integers(0, 10_000), label="log"))
    n = len(log.keys)
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=30), label="cuts"))
    restarts = data.draw(st.sets(st.integers(0, len(cuts)), max_size=5), label="restarts")
    assert not difference(results(log, cuts, restarts), results(log, [], set()))


@pytest.mark.parametrize("seed", range(3))
def test_one_record_at_a_time_is_the_same_as_all_at_once(seed: int) -> None:
    log = disorderly_log(seed)
    whole = results(log, [], set())
    assert not difference(results(log, list(range(1, len(log.keys))), set()), whole)
    kinds = {name.split()[0] for name in per_device(whole)}
    assert kinds >= {
        "score",
        "second",
        "minute",
        "alert",
        "late",
        "dead",
        "seen",
        "presence",
        "session",
    }, f"the log of seed {seed} exercises only {kinds}"
