"""The bytes that devices send: the quick way of reading them agrees with protobuf."""

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetpulse.errors import InputError
from fleetpulse.telemetry_pb2 import Batch, SampleBlock, Telemetry
from fleetpulse.wire import (
    batch_parts,
    canonical_layout,
    decode_block,
    decode_telemetry,
    encode_block,
    kind_of,
)
from tests.core import hostile


@settings(max_examples=200, deadline=None)
@given(hostile.blocks(1_750_000_000_000_000, 2, 5_000_000))
def test_a_block_is_read_as_protobuf_reads_it(value: bytes) -> None:
    try:
        expected = SampleBlock.FromString(value)
    except DecodeError:
        with pytest.raises(InputError):
            decode_block(value)
        return
    block = decode_block(value)
    assert (block.t0_us, block.period_ns, block.sequence) == (
        expected.t0_us, expected.period_ns, expected.sequence,
    )  # fmt: skip
    assert (block.profile_revision, block.count) == (expected.profile_revision, expected.count)
    assert bytes(block.samples) == expected.samples
    assert block.device_id == expected.device_id


@pytest.mark.parametrize("device_id", ["", "pump-7", "ä", "x" * 200])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_an_encoded_block_is_protobuf_and_canonical(count: int, device_id: str) -> None:
    samples = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    value = encode_block(
        samples, t0_us=-5, period_ns=1 << 63, sequence=7, profile_revision=9, device_id=device_id
    )
    message = SampleBlock.FromString(value)
    assert (message.t0_us, message.period_ns, message.sequence) == (-5, 1 << 63, 7)
    assert (message.profile_revision, message.count) == (9, count)
    assert message.samples == samples.tobytes()
    assert message.device_id == device_id
    layout = canonical_layout(value)
    assert layout is not None
    assert value[layout.begin : layout.end] == samples.tobytes()
    assert value[layout.name :] == device_id.encode()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Telemetry(raw=b"x").SerializeToString(), "telemetry"),
        (SampleBlock(device_id="d").SerializeToString(), "block"),
        (Batch(blocks=[SampleBlock(count=1)]).SerializeToString(), "batch"),
    ],
)
def test_the_first_tag_tells_the_message(value: bytes, kind: str) -> None:
    assert kind_of(value) == kind


@pytest.mark.parametrize("value", [b"", b"\x80", b"\xff" * 9, b"\x2a\x00", b"\xf8\x01\x00"])
def test_anything_else_is_no_message(value: bytes) -> None:
    with pytest.raises(InputError) as caught:
        kind_of(value)
    assert caught.value.status == 400


def test_a_batch_is_its_messages_as_they_were_sent() -> None:
    parts = [Telemetry(raw=b"x"), SampleBlock(count=1), Telemetry(device_id="d")]
    batch = Batch(telemetry=parts[::2], blocks=parts[1:2])  # type: ignore[arg-type]
    found = list(batch_parts(batch.SerializeToString()))
    assert found == [p.SerializeToString() for p in (parts[0], parts[2], parts[1])]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=30), st.binary(max_size=10).map(lambda b: b"\x82\x01" + b)))
def test_a_torn_batch_is_an_input_error(value: bytes) -> None:
    try:
        parts = list(batch_parts(value))
    except InputError:
        return
    assert sum(map(len, parts)) < len(value) or not value


def test_what_is_no_telemetry_is_said_to_be_none() -> None:
    with pytest.raises(InputError, match="not a Telemetry"):
        decode_telemetry(b"\x0a\x05ab")
