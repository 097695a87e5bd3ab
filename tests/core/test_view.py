"""A device as somebody who asks for it sees it."""

import numpy as np
import pytest

from fleetpulse.engine import Engine
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.telemetry_pb2 import Telemetry
from fleetpulse.view import device_view, newest_samples
from fleetpulse.wire import encode_block
from tests.core.logs import T0_US, Log, feed, fresh_engine
from tests.core.shelf import Shelf

KEY = b"default/pump-1"
PUMP = Profile(
    name="pump", channels=("a", "b"), rate_hz=50, lateness_ms=100, block_samples_max=10,
    window=WindowSpec(size=8, hop=8, aligned=True), model="any@1",
    alert=AlertRule(threshold=5, raise_after=1, dedup_s=0),
)  # fmt: skip


def frames(*begins: int, value: float = 1.0) -> Engine:
    """Frames of 8 slots; channel b is channel a + 1."""
    log = Log()
    log.profile(PUMP)
    for begin in begins:
        samples = np.full((8, 2), value, np.float32) + np.array([0, 1], np.float32)
        value_bytes = encode_block(samples, t0_us=T0_US + begin * 20_000, period_ns=20_000_000)
        log.device("pump-1", value_bytes, T0_US)
    engine = fresh_engine()
    feed(engine, log.batch())
    return engine


def test_a_device_shows_its_newest_window() -> None:
    view = device_view(frames(0, 8, 18), KEY)
    assert view is not None
    assert (view.tenant, view.device_id, view.profile) == ("default", "pump-1", "pump@1")
    assert list(view.last) == [1, 2]
    assert view.last_us == T0_US + 25 * 20_000
    assert view.watermark_us == T0_US + 21 * 20_000
    assert view.window_end_us == T0_US + 26 * 20_000
    assert view.window.tolist() == [[1, 2]] * 8
    assert view.score_end_us == T0_US + 16 * 20_000, "slots 16 and 17 may still come"


def test_the_last_value_of_a_channel_may_be_older() -> None:
    log = Log()
    log.profile(PUMP)
    for k, metrics in enumerate([{"a": 1.0, "b": 2.0}, {"a": 3.0}]):
        value = Telemetry(ts=T0_US // 1000 + 20 * k, metrics=metrics).SerializeToString()
        log.device("pump-1", value, T0_US)
    engine = fresh_engine()
    feed(engine, log.batch())
    view = device_view(engine, KEY)
    assert view is not None
    assert list(view.last) == [3, 2]
    assert np.isnan(view.window[-1, 1])


@pytest.mark.parametrize(("value", "is_open"), [(1.0, False), (9.0, True)])
def test_an_open_alert_shows(value: float, is_open: bool) -> None:
    view = device_view(frames(0, value=value), KEY)
    assert view is not None
    assert view.alert_open is is_open
    assert bool(view.alert_id) is is_open
    assert view.alert_raised_us == (view.score_end_us if is_open else 0)
    assert view.threshold == 5


def test_before_its_first_window_a_device_has_no_score() -> None:
    view = device_view(frames(4), KEY)
    assert view is not None
    assert np.isnan(view.score)
    assert (view.score_end_us, view.alert_open) == (0, False)


def test_a_device_without_samples_is_not_to_be_seen() -> None:
    log = Log()
    log.profile(PUMP)
    log.device("pump-1", b"refused", T0_US)
    engine = fresh_engine()
    feed(engine, log.batch())
    assert device_view(engine, KEY) is None
    assert device_view(engine, b"default/nobody") is None
    assert newest_samples(engine, KEY, 0) is None
    assert newest_samples(engine, b"default/nobody", 0) is None


def test_a_view_does_not_change_afterwards() -> None:
    engine = frames(0)
    view = device_view(engine, KEY)
    assert view is not None
    engine.directory.cohorts[0].rings.ring[:] = 7
    assert view.window.tolist() == [[1, 2]] * 8


def test_newest_samples_are_those_after_a_time() -> None:
    engine = frames(0, 8)
    samples = newest_samples(engine, KEY, T0_US + 12 * 20_000)
    assert samples is not None
    assert samples.t_us.tolist() == [T0_US + slot * 20_000 for slot in (13, 14, 15)]
    assert samples.values.tolist() == [[1, 2]] * 3
    assert newest_samples(engine, KEY, T0_US + 15 * 20_000) is None, "nothing is newer"
    whole = newest_samples(engine, KEY, 0)
    assert whole is not None
    assert len(whole.t_us) == PUMP.run_slots, "no more than a run of them"


def test_samples_that_a_stored_state_does_not_keep_are_not_shown() -> None:
    shelf, log = Shelf(), Log()
    log.profile(PUMP.model_copy(update={"rate_hz": 5}))
    for begin in range(0, 40, 8):
        samples = np.ones((8, 2), np.float32)
        value = encode_block(samples, t0_us=T0_US + begin * 200_000, period_ns=200_000_000)
        log.device("pump-1", value, T0_US + 8_000_000)
    shelf.feed(log.batch())
    shelf.restart()
    kept = newest_samples(shelf.engine, KEY, 0)
    assert kept is not None
    assert len(kept.values) >= 8
    assert (kept.values == 1).all(), "a value that nobody sent"
