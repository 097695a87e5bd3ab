"""A cheap HTTP client: `python -m benchmarks.ingest_load PLAN.json`, controlled in lines of JSON.

Keep-alive connections, one request at a time on each, prepared bytes, one epoll loop: it must take
less of the machine than what it measures. A paced request counts from the moment when it was due.
"""

import json
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.ingest_bodies import Body, prepared
from benchmarks.report import Latency
from fleetpulse.profile import profile_from_yaml

_IO_TIMEOUT: Final = struct.pack("ll", 15, 0)
"""Longer than the ingest waits for the broker."""
_DRAIN_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class IngestLoad:
    """Requests to one path. rate: per second, 0: as fast as they are answered."""

    port: int
    path: str
    body: Body
    connections: int
    seconds: float
    rate: float
    devices: int
    profile_file: str


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What was answered. statuses: how often each; latencies of the 202s only."""

    requests: int
    statuses: dict[str, int]
    seconds: float
    cpu_s: float
    late_ms_max: float
    latency_ms: Latency

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """From what the process said."""
        return cls(**told | {"latency_ms": Latency(**told["latency_ms"])})


class Client:
    """The connections and what they wait for."""

    def __init__(self, load: IngestLoad) -> None:
        path = Path(load.profile_file)
        profile = profile_from_yaml(path.read_text(), source=path.name)
        now_ms = time.time_ns() // 1_000_000
        requests = prepared(load.body, load.path, load.devices, profile, now_ms)
        self._load = load
        self._next = cycle([each.stamped for each in requests]).__next__
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._due_s: dict[int, float] = {}
        self._idle: list[int] = []
        self._taken: list[int] = []
        self._statuses: Counter[str] = Counter()
        self._partial: dict[int, bytes] = {}
        self._late_s = 0.0
        for _ in range(load.connections):
            connection = socket.create_connection(("127.0.0.1", load.port), timeout=10)
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                connection.setsockopt(socket.SOL_SOCKET, option, _IO_TIMEOUT)
            self._sockets[connection.fileno()] = connection
            self._poll.register(connection.fileno(), select.EPOLLIN)
            self._idle.append(connection.fileno())

    def run(self) -> LoadResult:
        """Send for the load's seconds, then wait for the answers."""
        began_s, cpu_s = time.monotonic(), time.process_time()
        end_s = began_s + self._load.seconds
        (self._paced if self._load.rate else self._as_fast_as_possible)(began_s, end_s)
        seconds = time.monotonic() - began_s
        answered = len(self._taken)
        cpu_s = time.process_time() - cpu_s
        deadline_s = time.monotonic() + _DRAIN_S
        while len(self._idle) < len(self._sockets) and time.monotonic() < deadline_s:
            self._receive(0.1, self._idle.append)
        unanswered = len(self._sockets) - len(self._idle)
        if unanswered:
            self._statuses["unanswered"] = unanswered
        for connection in self._sockets.values():
            connection.close()
        self._poll.close()
        latency = Latency.of(self._taken)
        statuses = dict(self._statuses)
        return LoadResult(answered, statuses, seconds, cpu_s, self._late_s * 1000, latency)

    def _as_fast_as_possible(self, _: float, end_s: float) -> None:
        def again(number: int) -> None:
            self._send(number, time.monotonic())

        for number in self._idle:
            again(number)
        self._idle.clear()
        while time.monotonic() < end_s:
            self._receive(0.1, again)
        # The connections that wait are given back as they are answered.

    def _paced(self, began_s: float, end_s: float) -> None:
        interval_s, sent = 1 / self._load.rate, 0
        while (now_s := time.monotonic()) < end_s:
            due_s = began_s + sent * interval_s
            while due_s <= now_s and self._idle:
                self._late_s = max(self._late_s, now_s - due_s)
                self._send(self._idle.pop(), due_s)
                sent += 1
                due_s = began_s + sent * interval_s
            # Without an idle connection nothing can be sent before something is answered.
            wait_s = due_s - now_s if self._idle else 0.1
            self._receive(max(0.0, min(wait_s, 0.1)), self._idle.append)

    def _send(self, number: int, due_s: float) -> None:
        self._due_s[number] = due_s
        self._sockets[number].sendall(self._next()(time.time_ns() // 1_000_000))

    def _receive(self, timeout_s: float, then: Callable[[int], Any]) -> None:
        for number, _ in self._poll.poll(timeout_s):
            answer = self._sockets[number].recv(65_536)
            if not answer:
                raise ConnectionError("the server closed a connection")
            if self._partial:
                answer = self._partial.pop(number, b"") + answer
            # Every answer of the ingest is one JSON object.
            if not answer.endswith(b"}"):
                self._partial[number] = answer
                continue
            status = answer[9:12]
            if status == b"202":
                self._taken.append(int((time.monotonic() - self._due_s[number]) * 1e6))
            self._statuses[status.decode()] += 1
            then(number)


def main(plan_file: str) -> None:
    """Say "ready", start at a line of input, tell the result."""
    client = Client(IngestLoad(**json.loads(Path(plan_file).read_text())))
    print(json.dumps({"ready": True}), flush=True)
    if not sys.stdin.readline():
        return
    print(json.dumps(asdict(client.run())), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
