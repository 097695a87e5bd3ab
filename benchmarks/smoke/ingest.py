"""Requests through the ingest application on a log in memory, against decoding and encoding."""

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Final

import msgspec

from benchmarks.smoke.race import Pair, Work
from fleetpulse.control import ControlState
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import HttpSettings
from fleetpulse.telemetry_pb2 import Telemetry
from serve_apps.ingest.answers import Answer
from serve_apps.ingest.app import Ingest, form_of
from serve_apps.ingest.devices import Devices
from serve_apps.ingest.records import Record

REQUESTS: Final = 6000
NOW_MS: Final = 1_790_000_000_000


def ingest_pairs() -> list[Pair]:
    """All pairs of this file."""
    return [Pair("ingest, JSON", partial(_ours, _json(), b"application/json"), _bare)]


class _Log:
    """Takes everything at once."""

    def send(self, _: Sequence[Record], then: Callable[[FleetpulseError | None], None], /) -> None:
        then(None)


def _ours(bodies: list[bytes], kind: bytes) -> Work:
    devices = Devices("smoke", ControlState())
    ingest = Ingest(HttpSettings(), _Log(), devices, clock_ns=lambda: NOW_MS * 1_000_000)
    forms = {
        length: form_of([(b"content-type", kind), (b"content-length", b"%d" % length)])
        for length in {len(body) for body in bodies}
    }
    answers: list[Answer] = []

    def work() -> None:
        for body in bodies:
            ingest.take(forms[len(body)], body, answers.append)
        assert {told.status for told in answers} == {202}, answers[0]

    return work


def _bare() -> Work:
    bodies = _json()

    def work() -> None:
        for body in bodies:
            sample = msgspec.json.decode(body)
            Telemetry(
                device_id=sample["device_id"], ts=sample["ts"], metrics=sample["metrics"]
            ).SerializeToString()

    return work


@cache
def _json() -> list[bytes]:
    return [
        json.dumps(
            {
                "device_id": f"pump-{number % 500}",
                "ts": NOW_MS,
                "metrics": {"vib_x": 0.25, "temp": 61.5, "current": float(number)},
            }
        ).encode()
        for number in range(REQUESTS)
    ]
