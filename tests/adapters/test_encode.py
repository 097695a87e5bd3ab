"""Columnar encoding against the protobuf library: any batch reads back as it went in."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.kafka.decode import decode_alert, decode_rejected, decode_rollup, decode_tombstone
from adapters.kafka.encode import (
    encode_alert,
    encode_rejected,
    encode_rollups,
    encode_scores,
    encode_tombstone,
)
from adapters.kafka.encode_events import encode_presence, encode_session
from fleetpulse import telemetry_pb2 as pb
from fleetpulse.effects import (
    RESOLUTION_S,
    AlertEvent,
    Forgotten,
    Presence,
    PresenceKind,
    Reason,
    Rejection,
    Resolution,
    RollupRows,
    ScoreRows,
    SessionKind,
)
from fleetpulse.profile import AlertRule, Profile
from tests.contracts.cases import T0_US, session

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


@given(
    st.builds(
        Forgotten, st.integers(0, 2**31 - 1), st.integers(0, 2**62), times_us,
        st.just("default"), st.just("pump-1"),
    )
)  # fmt: skip
def test_tombstones(gone: Forgotten) -> None:
    assert decode_tombstone(b"default/pump-1", encode_tombstone(gone)) == gone


@given(names, names, st.sampled_from(["offline", "online"]), times_us, times_us)
def test_presences(tenant: str, device: str, kind: PresenceKind, at_us: int, heard_us: int) -> None:
    message = pb.DeviceEvent.FromString(
        encode_presence(Presence(0, tenant, device, kind, at_us, heard_us))
    )
    assert (message.tenant, message.device_id) == (tenant, device)
    assert pb.DeviceEvent.Kind.Name(message.kind).lower() == kind
    assert (message.at_us, message.heard_us) == (at_us, heard_us)
    assert not message.HasField("session")


def test_a_session_ends_with_what_was_measured() -> None:
    message = pb.DeviceEvent.FromString(encode_session(session(3, ended=True)))
    started_us = T0_US + 180_000_000
    assert message.kind == pb.DeviceEvent.SESSION_ENDED
    assert message.at_us == message.session.ended_at_us == started_us + 9_000_000
    assert message.session.started_at_us == started_us
    flow, heat = message.session.channels
    assert (flow.count, flow.min, flow.max, flow.mean, flow.std) == (7, 1.0, 3.0, 2.0, 0.5)
    assert heat.count == 0
    assert np.isnan(heat.mean)
    scores = message.session.scores
    assert (scores.count, scores.max, message.session.scores_over) == (4, 2.0, 1)


def test_a_session_starts_with_nothing_but_its_start() -> None:
    message = pb.DeviceEvent.FromString(encode_session(session(3, ended=False)))
    assert message.kind == pb.DeviceEvent.SESSION_STARTED
    assert message.at_us == message.session.started_at_us == T0_US + 180_000_000
    assert message.session.ended_at_us == 0
    assert not message.session.HasField("scores")


@pytest.mark.parametrize("kind", ["started", "ended", "withdrawn"])
def test_a_correction_of_a_session_names_its_view(kind: SessionKind) -> None:
    event = replace(session(3, ended=kind == "ended"), kind=kind)
    message = pb.DeviceEvent.FromString(encode_session(event, view_epoch=3))
    assert pb.DeviceEvent.Kind.Name(message.kind) == f"SESSION_{kind.upper()}"
    assert (message.view_epoch, message.supersedes) == (3, 2)
    assert message.session.session_id == event.session_id
