"""A replay against a stack that answers as the real one does."""

import json
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from fleetpulse.errors import InputError
from fleetpulse.profile import Profile
from fleetpulse.telemetry_pb2 import Batch, Telemetry
from simulator.api import Api
from simulator.http_client import HttpConnection
from simulator.replay_report import ReplayReport
from simulator.replay_session import Replay, free_name
from simulator.series import Series
from tests.simulator.scripted_server import Answered, ScriptedServer

MINUTE_US = 60_000_000
PROFILE = Profile.model_validate(
    {
        "name": "slow",
        "channels": ["value"],
        "rate_hz": 1 / 60,
        "past_bound_s": 1e9,
        "window": {"size": 4, "hop": 2},
        "alert": {"threshold": 3},
    }
)
SERIES = Series(("value",), np.arange(1200) * MINUTE_US, np.arange(1200.0)[:, None])


class Stack(ScriptedServer):
    """Keeps samples; every 100th is an alert; knows devices that have sent."""

    def __init__(self) -> None:
        self.samples: list[Telemetry] = []
        self.assigned = False
        self.refusals = 2
        """How often it refuses because the assignment has not reached it yet."""
        super().__init__(self._script)

    def assign(self, _device: str, _profile: Profile) -> None:
        self.assigned = True

    def _script(self, method: str, path: str, body: bytes) -> Answered:
        if method == "POST":
            return self._take(body)
        parts = urlsplit(path)
        if parts.path == "/api/v1/alerts":
            return 200, {}, json.dumps(self._alerts(parse_qs(parts.query))).encode()
        device = parts.path.rpartition("/")[2]
        mine = [sample for sample in self.samples if sample.device_id == device]
        if not mine:
            return 404, {}, b'{"error": {"field": "device_id", "reason": "is not known"}}'
        live = {"last_at": _rfc3339(mine[-1].ts)}
        return 200, {}, json.dumps({"device": {}, "live": live}).encode()

    def _take(self, body: bytes) -> Answered:
        if not self.assigned or self.refusals:
            self.refusals -= 1
            return 422, {}, b'{"error": {"field": "ts", "reason": "is too far behind now"}}'
        self.samples.extend(Batch.FromString(body).telemetry)
        return 202, {}, b"{}"

    def _alerts(self, query: dict[str, list[str]]) -> dict[str, object]:
        """Pages of five, newest first."""
        raised = [
            {"device_id": s.device_id, "raised_at": _rfc3339(s.ts), "score": 4.0}
            for s in self.samples[::-100]
            if s.ts >= int(query["from"][0]) and s.device_id == query["device_id"][0]
        ]
        begin = int(query.get("cursor", ["0"])[0])
        more = str(begin + 5) if begin + 5 < len(raised) else None
        return {"alerts": raised[begin : begin + 5], "next": more}


def _rfc3339(ts_ms: int) -> str:
    return str(np.datetime64(ts_ms, "ms")) + "Z"


@pytest.fixture
def stack() -> Iterator[Stack]:
    stack = Stack()
    yield stack
    stack.stop()


def replayed(stack: Stack, *, speed: float | None = None, stop_after: int = 10**9) -> ReplayReport:
    stop = threading.Event()

    def progress(sent: int) -> None:
        if sent >= stop_after:
            stop.set()

    plan = Replay(SERIES, PROFILE, [(0, 99 * MINUTE_US), (101 * MINUTE_US, 10**12)], speed)
    with HttpConnection(stack.url) as connection:
        return plan.run(connection, "pump-1", stack.assign, stop, progress)


def test_all_samples_arrive_once_in_order_and_alerts_come_back_in_recorded_time(
    stack: Stack,
) -> None:
    report = replayed(stack)
    assert [sample.metrics["value"] for sample in stack.samples] == list(range(1200))
    assert report.samples == 1200
    assert [alert.raised_us // MINUTE_US for alert in report.alerts] == list(range(99, 1200, 100))
    assert report.met == [True, True]
    assert not report.false_alerts


def test_speed_keeps_step_with_recorded_time(stack: Stack) -> None:
    recorded_s = 1199 * 60
    assert replayed(stack, speed=recorded_s / 0.5).seconds >= 0.5


def test_an_interrupted_replay_reports_what_it_sent(stack: Stack) -> None:
    report = replayed(stack, stop_after=500)
    assert report.samples == len(stack.samples) == 500


def test_a_refusal_in_the_middle_ends_the_replay(stack: Stack) -> None:
    stop = threading.Event()
    plan = Replay(SERIES, PROFILE, None, None)

    def progress(_sent: int) -> None:
        stack.refusals = 1

    with (
        HttpConnection(stack.url) as connection,
        pytest.raises(InputError, match="422 ts: is too far behind now"),
    ):
        plan.run(connection, "pump-1", stack.assign, stop, progress)


def test_a_device_that_has_sent_gets_a_number(stack: Stack) -> None:
    with HttpConnection(stack.url) as connection:
        api = Api(connection, threading.Event())
        assert free_name(api, "pump-1") == "pump-1"
        replayed(stack)
        assert free_name(api, "pump-1") == "pump-1-2"
