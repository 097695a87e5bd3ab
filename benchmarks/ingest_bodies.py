"""What the benchmark of the ingest posts: whole HTTP requests, prepared but for their time."""

import struct
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import numpy as np

from fleetpulse.profile import Profile
from fleetpulse.telemetry_pb2 import Batch, SampleBlock
from fleetpulse.wire import encode_block

Body = Literal["json", "frame", "batch"]
FRAME_SAMPLES: Final = 20
BATCH_FRAMES: Final = 50
METRICS: Final = 3
_TIME = struct.Struct("<q")
_TIME_AT: Final = 1
"""Where a canonical frame has its time: behind one tag."""


class Prepared(NamedTuple):
    """A request. stamped: its bytes with a time in milliseconds in it."""

    stamped: Callable[[int], bytes]
    body: bytes
    """A body as it is posted, with some time in it."""


def records_of(body: Body) -> int:
    """Kafka records of one request."""
    return BATCH_FRAMES if body == "batch" else 1


def samples_of(body: Body) -> int:
    """Samples of one request."""
    return 1 if body == "json" else records_of(body) * FRAME_SAMPLES


def prepared(body: Body, path: str, devices: int, profile: Profile, now_ms: int) -> list[Prepared]:
    """One request per device, or per BATCH_FRAMES devices."""
    names = [f"bench-{number:05}" for number in range(devices)]
    if body == "json":
        return [_json(path, name, profile, now_ms) for name in names]
    frames = [_frame(name, profile, now_ms) for name in names]
    if body == "frame":
        return [_timed_frame(path, frame) for frame in frames]
    groups = [frames[at : at + BATCH_FRAMES] for at in range(0, devices, BATCH_FRAMES)]
    # Full ones only: a request's records are counted by its kind.
    return [_batch(path, group) for group in groups if len(group) == BATCH_FRAMES]


def _json(path: str, name: str, profile: Profile, now_ms: int) -> Prepared:
    metrics = ", ".join(f'"{channel}": 0.{at}25' for at, channel in enumerate(profile.channels, 1))
    metrics = ", ".join(metrics.split(", ")[:METRICS])
    before = f'{{"device_id": "{name}", "ts": '.encode()
    after = f', "metrics": {{{metrics}}}}}'.encode()
    body = before + b"%d" % now_ms + after
    head = _head(path, "application/json", len(body)) + before

    def stamped(at_ms: int) -> bytes:
        return b"%b%d%b" % (head, at_ms, after)

    return Prepared(stamped, body)


def _timed_frame(path: str, frame: bytes) -> Prepared:
    head = _head(path, "application/x-protobuf", len(frame))
    before, after = head + frame[:_TIME_AT], frame[_TIME_AT + _TIME.size :]

    def stamped(at_ms: int) -> bytes:
        return before + _TIME.pack(at_ms * 1000) + after

    return Prepared(stamped, frame)


def _batch(path: str, frames: list[bytes]) -> Prepared:
    body = Batch(blocks=[SampleBlock.FromString(frame) for frame in frames]).SerializeToString()
    request = _head(path, "application/x-protobuf", len(body)) + body

    def stamped(_: int) -> bytes:
        return request

    return Prepared(stamped, body)


def _frame(name: str, profile: Profile, now_ms: int) -> bytes:
    shape = (FRAME_SAMPLES, len(profile.channels))
    return encode_block(
        np.random.default_rng(1).normal(size=shape).astype(np.float32),
        t0_us=now_ms * 1000,
        period_ns=profile.period_ns,
        device_id=name,
    )


def _head(path: str, media: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: fleet\r\nContent-Type: {media}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()
