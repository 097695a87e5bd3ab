"""Columnar encoding against the protobuf library: any batch reads back as it went in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adapters.kafka.decode import decode_alert, decode_rejected, decode_rollup
from adapters.kafka.encode import encode_alert, encode_rejected, encode_rollups, encode_scores
from fleetpulse import telemetry_pb2 as pb
from fleetpulse.effects import (
    RESOLUTION_S,
    AlertEvent,
    Reason,
    Rejection,
    Resolution,
    RollupRows,
    ScoreRows,
)
from fleetpulse.profile import AlertRule, Profile

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
seeds = st.integers(0, 2**32 - 1)
times_us = st.integers(-(2**62), 2**62)


def profile(name: str, channels: int) -> Profile:
    return Profile(
        name=name,
        channels=tuple(f"c{each}" for each in range(channels)),
        rate_hz=1,
        alert=AlertRule(threshold=1),
    )


@given(st.integers(0, 40), names, names, st.floats(0.125, 1e6, width=32), seeds)
def test_scores(n: int, name: str, model: str, threshold: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    starts = random.integers(-(2**62), 2**62, n)
    scores = random.normal(size=n).astype(np.float32)
    rows = ScoreRows(
        profile(name, 1), np.zeros(n, np.int32), [b"default/a"] * n, starts, starts + 9, scores,
        f"{model}@1", threshold,
    )  # fmt: skip
    messages = [pb.Score.FromString(each) for each in encode_scores(rows)]
    assert len(messages) == n
    assert [each.window_start_us for each in messages] == starts.tolist()
    assert [each.window_end_us for each in messages] == (starts + 9).tolist()
    assert [each.score for each in messages] == scores.tolist()
    assert all(each.threshold == threshold for each in messages)
    assert {each.model for each in messages} <= {f"{model}@1"}


@given(
    st.integers(0, 20), st.integers(1, 64), st.sampled_from(list(RESOLUTION_S)), names, seeds,
    st.floats(0, 1),
)  # fmt: skip
def test_rollups(
    n: int, channels: int, resolution: Resolution, name: str, seed: int, absent: float
) -> None:
    random = np.random.default_rng(seed)

    def values(*shape: int) -> np.ndarray:
        drawn = random.normal(size=shape)
        drawn[random.random(shape) < absent] = np.nan
        return drawn

    rows = RollupRows(
        resolution, profile(name, channels), np.zeros(n, np.int32), [b"default/a"] * n,
        random.integers(-(2**62), 2**62, n),
        random.integers(0, 2**31, (n, channels)).astype(np.int32),
        values(n, channels), values(n, channels), values(n, channels), values(n, channels),
        random.integers(0, 2**31, n).astype(np.int32),
        random.integers(0, 2**31, n).astype(np.int32),
        values(n), values(n), values(n), values(n),
    )  # fmt: skip
    records = [decode_rollup(each) for each in encode_rollups(rows)]
    assert len(records) == n
    for at, record in enumerate(records):
        assert record.bucket_us == rows.bucket_us[at]
        assert record.resolution_s == RESOLUTION_S[resolution]
        assert record.profile == rows.profile.ref
        for field in ("count", "min", "max", "mean", "std"):
            expected = getattr(rows, field)[at]
            assert np.array_equal(getattr(record, field), expected, equal_nan=field != "count")
        for field in ("count", "over", "min", "max", "mean", "std"):
            expected = getattr(rows, f"score_{field}")[at]
            assert np.array_equal(getattr(record, f"score_{field}"), expected, equal_nan=True)


floats32 = st.floats(width=32, allow_nan=False)


@given(
    st.builds(
        AlertEvent, st.just(3), st.text(max_size=64), names, names,
        st.sampled_from(["raised", "cleared"]), times_us, times_us, times_us, times_us,
        floats32, floats32, floats32, names, names,
    )
)  # fmt: skip
def test_alerts(event: AlertEvent) -> None:
    assert decode_alert(encode_alert(event), partition=3) == event


@given(
    st.builds(
        Rejection, st.integers(0, 2**31 - 1), st.integers(0, 2**62), times_us, st.binary(),
        st.binary(), st.sampled_from(Reason), st.text(), times_us, times_us,
    )
)  # fmt: skip
def test_rejected(rejection: Rejection) -> None:
    assert decode_rejected(encode_rejected(rejection)) == rejection
