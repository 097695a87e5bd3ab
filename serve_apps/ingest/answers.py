"""What the ingest answers, and how it says what is wrong."""

import json
import math
from typing import Final, NamedTuple

from fleetpulse.errors import InputError, RetryLater
from serve_apps.ingest.limits import OverRate

Headers = list[tuple[bytes, bytes]]
FIELD_CHARACTERS_MAX: Final = 200
"""Of a field's name and of a reason in an answer."""


class Answer(NamedTuple):
    """One response. headers: all that the ingest sets."""

    status: int
    headers: Headers
    body: bytes


def answer(status: int, content: object, headers: Headers | None = None) -> Answer:
    """Content as JSON."""
    body = json.dumps(content).encode()
    sized = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *(headers or ()),
    ]
    return Answer(status, sized, body)


ACCEPTED_ONE: Final = answer(202, {"accepted": 1})
FAILED: Final = answer(500, {"error": {"field": "", "reason": "Internal Server Error"}})


def accepted(records: int) -> Answer:
    """All of them are durable."""
    return ACCEPTED_ONE if records == 1 else answer(202, {"accepted": records})


def refusal(error: InputError) -> Answer:
    """What is wrong with the request."""
    told: dict[str, object] = {
        "field": error.field[:FIELD_CHARACTERS_MAX],
        "reason": error.reason[:FIELD_CHARACTERS_MAX],
    }
    if error.index is not None:
        told["index"] = error.index
    headers = [(b"allow", b"POST")] if error.status == 405 else []
    return answer(error.status, {"error": told}, headers)


def later(error: RetryLater) -> Answer:
    """Try the same again; after an OverRate only what was put off."""
    if isinstance(error, OverRate):
        body: dict[str, object] = {
            "accepted": error.accepted,
            "error": {
                "field": "device_id",
                "reason": f"{error.device_id} {error}",
                "index": error.refused[0],
            },
            "refused": error.refused,
        }
        return answer(429, body, [_retry_after(error)])
    body = {"error": {"field": "", "reason": str(error)}}
    return answer(503, body, [_retry_after(error)])


def _retry_after(error: RetryLater) -> tuple[bytes, bytes]:
    return b"retry-after", str(math.ceil(error.retry_after_s)).encode()
