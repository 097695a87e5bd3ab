"""The HTTP target against a server that answers as told."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from fleetpulse.errors import RetryLater, SetupError
from fleetpulse.telemetry_pb2 import Batch, SampleBlock
from simulator.fleet import Fleet, FleetSpec
from simulator.http_client import HttpConnection
from simulator.pacing import Pacer
from simulator.targets.http import HttpTarget
from tests.simulator.scripted_server import Answered, ScriptedServer

ACCEPT: Answered = (202, {}, b'{"accepted": 1}')


class Server(ScriptedServer):
    """Answers in turn what is queued, then always 202; keeps the blocks of accepted requests."""

    def __init__(self) -> None:
        self.answers: deque[Answered] = deque()
        self.accepted: list[SampleBlock] = []
        super().__init__(self._next)

    def _next(self, method: str, path: str, body: bytes) -> Answered:
        assert (method, path) == ("POST", "/telemetry")
        answer = self.answers.popleft() if self.answers else ACCEPT
        if answer[0] == 202:
            self.accepted.extend(Batch.FromString(body).blocks)
        return answer


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


Send = Callable[[int], HttpTarget]


@pytest.fixture
def send(server: Server) -> Send:
    """Sends that many rounds of 40 devices through 4 gateways; returns the closed target."""

    def run(rounds: int) -> HttpTarget:
        fleet = Fleet(FleetSpec(devices=40, gateway=10), start_us=0)
        target = HttpTarget(server.url, fleet.device_ids, fleet.gateways, frame_samples=20)
        for number in range(rounds):
            target.send(fleet.frames(number))
        target.close(10.0)
        return target

    return run


def test_every_frame_arrives_in_order_over_few_connections(server: Server, send: Send) -> None:
    counts = send(5).tally.counts()
    assert counts.sent == counts.accepted == 5 * 40 * 20
    assert server.requests == 5 * 4, "gateways do not share requests"
    assert len(server.connections) == 4, "connections are not kept alive"
    by_device: dict[str, list[int]] = {}
    for block in server.accepted:
        by_device.setdefault(block.device_id, []).append(block.sequence)
    assert len(by_device) == 40
    assert all(sequences == list(range(5)) for sequences in by_device.values())
    assert counts.latency_ms["p50"] <= counts.latency_ms["p99"] <= counts.latency_ms["max"]


def test_a_busy_server_is_asked_again_after_the_time_it_names(server: Server, send: Send) -> None:
    server.answers.append((503, {"Retry-After": "1"}, b'{"error": {"reason": "full"}}'))
    counts = send(1).tally.counts()
    assert counts.accepted == 40 * 20
    assert counts.retries == 1
    assert counts.latency_ms["max"] >= 1000, "Retry-After was not respected"


def test_a_refused_batch_is_counted_with_its_reason_and_not_repeated(
    server: Server, send: Send
) -> None:
    server.answers.append((422, {}, b'{"error": {"field": "ts", "reason": "is old"}}'))
    counts = send(1).tally.counts()
    assert (counts.refused, counts.accepted) == (200, 600)
    assert counts.reasons == {"422 ts: is old": 1}
    assert server.requests == 4


def test_frames_are_sent_when_they_are_due(server: Server) -> None:
    fleet = Fleet(FleetSpec(devices=20, gateway=5), start_us=time.time_ns() // 1000)
    target = HttpTarget(server.url, fleet.device_ids, fleet.gateways, frame_samples=20)
    run = Pacer(fleet, target, threading.Event()).run(3, lambda rounds: None)
    target.close(10.0)
    assert run.rounds == 3
    assert 0.3 <= run.seconds < 2.0
    assert len(server.accepted) == 60


def test_nothing_at_the_address_is_one_line_with_a_remedy(server: Server) -> None:
    server.stop()
    connection = HttpConnection(server.url)
    with pytest.raises(SetupError, match=r"nothing answers at .*; start the stack with"):
        connection.check_running()
    with pytest.raises(RetryLater, match="POST /telemetry"):
        connection.post("/telemetry", b"")
    with pytest.raises(SetupError, match="is not an address"):
        HttpConnection("localhost")


@pytest.mark.parametrize(("rate_hz", "frame_samples"), [(200.0, 20), (1.0, 1)])
def test_who_shares_a_gateway_is_due_together(rate_hz: float, frame_samples: int) -> None:
    spec = FleetSpec(devices=100, rate_hz=rate_hz, frame_samples=frame_samples, gateway=5)
    fleet = Fleet(spec, start_us=0)
    due_us = fleet.frames(0).due_us[np.argsort(fleet.frames(0).device)]
    for gateway in range(20):
        assert len(set(due_us[fleet.gateways == gateway].tolist())) == 1


def test_what_has_no_answer_at_the_end_failed(server: Server) -> None:
    server.answers.extend([(503, {"Retry-After": "60"}, b"{}")] * 4)
    fleet = Fleet(FleetSpec(devices=40, gateway=10), start_us=0)
    target = HttpTarget(server.url, fleet.device_ids, fleet.gateways, frame_samples=20)
    target.send(fleet.frames(0))
    target.close(0.3)
    counts = target.tally.counts()
    assert (counts.sent, counts.accepted, counts.failed) == (800, 0, 800)
