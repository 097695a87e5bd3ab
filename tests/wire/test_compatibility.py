"""Programs of different versions read each other: devices and logs outlive a release.

golden/telemetry.v1.json is the schema that is in the field. When fields are added on purpose, it
stays as it is; when a release ships, its schema is frozen beside it.
"""

import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import Message

from fleetpulse.telemetry_pb2 import DESCRIPTOR, Batch, SampleBlock, Telemetry
from fleetpulse.wire import decode_block, encode_block, kind_of
from tests.wire.schema import MESSAGES, current, filled, frozen_bytes, frozen_schema, of_schema

FROZEN = frozen_schema()
FROZEN_MESSAGES = [message.name for message in FROZEN.message_type]


def fields(schema: FileDescriptorProto) -> dict[tuple[str, str], tuple[int, int, int]]:
    """(message, field) -> number, type, label: all that the bytes depend on."""
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    for message in schema.message_type:
        for field in message.field:
            found[message.name, field.name] = (field.number, field.type, field.label)
    return found


def values(schema: FileDescriptorProto) -> dict[tuple[str, str, str], int]:
    """(message, enum, value) -> number."""
    return {
        (message.name, enum.name, value.name): value.number
        for message in schema.message_type
        for enum in message.enum_type
        for value in enum.value
    }


def schema_of_tomorrow() -> FileDescriptorProto:
    """Today's schema with one more field in every message."""
    tomorrow = FileDescriptorProto()
    DESCRIPTOR.CopyToProto(tomorrow)
    for message in tomorrow.message_type:
        message.field.add(
            name="added_later",
            number=500,
            type=FieldDescriptorProto.TYPE_STRING,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
        )
    return tomorrow


def known(message: Message) -> bytes:
    """Bytes of the fields that the message's own version knows."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy.SerializeToString(deterministic=True)


def test_no_field_was_renumbered_retyped_or_removed() -> None:
    today = FileDescriptorProto()
    DESCRIPTOR.CopyToProto(today)
    now, before = fields(today), fields(FROZEN)
    changed = {name: (was, now.get(name)) for name, was in before.items() if now.get(name) != was}
    assert not changed, f"devices in the field would be misread: {changed}"


def test_no_enum_value_was_renumbered_or_removed() -> None:
    today = FileDescriptorProto()
    DESCRIPTOR.CopyToProto(today)
    now, before = values(today), values(FROZEN)
    assert {name: now.get(name) for name in before} == before


def test_first_tag_tells_the_message() -> None:
    numbers = [set(m.DESCRIPTOR.fields_by_number) for m in (Telemetry, SampleBlock, Batch)]
    assert sum(map(len, numbers)) == len(set.union(*numbers)), (
        "a value in `telemetry` has no envelope: field numbers must be disjoint"
    )


@pytest.mark.parametrize("name", FROZEN_MESSAGES)
def test_old_bytes_are_read_by_today(name: str) -> None:
    old = bytes.fromhex(frozen_bytes()[name])
    message = current(name)
    message.ParseFromString(old)
    assert known(message) == old, f"{name}: something of the old bytes was not understood"


@pytest.mark.parametrize("name", FROZEN_MESSAGES)
def test_today_is_read_by_old_readers(name: str) -> None:
    reader = of_schema(FROZEN, name)
    reader.ParseFromString(filled(current(name)).SerializeToString())
    expected = filled(of_schema(FROZEN, name))
    assert known(reader) == expected.SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", MESSAGES)
def test_tomorrow_is_read_by_today(name: str) -> None:
    newer = filled(of_schema(schema_of_tomorrow(), name))
    reader = current(name)
    reader.ParseFromString(newer.SerializeToString())
    assert known(reader) == filled(current(name)).SerializeToString(deterministic=True)


def test_block_of_tomorrow_decodes_to_the_same_samples() -> None:
    samples = np.arange(6, dtype=np.float32).reshape(3, 2)
    today = encode_block(samples, t0_us=1_000_000, period_ns=5_000_000, sequence=7, device_id="p-1")
    newer = of_schema(schema_of_tomorrow(), "SampleBlock")
    newer.ParseFromString(today)
    newer.added_later = "something"  # type: ignore[attr-defined]  # made at run time
    read = decode_block(newer.SerializeToString())
    assert kind_of(newer.SerializeToString()) == "block"
    assert (read.t0_us, read.period_ns, read.sequence, read.count, read.device_id) == (
        1_000_000, 5_000_000, 7, 3, "p-1",
    )  # fmt: skip
    assert bytes(read.samples) == samples.tobytes()


def test_block_bytes_are_what_devices_without_protobuf_write() -> None:
    samples = np.array([[1.0, -2.0]], dtype=np.float32)
    block = encode_block(
        samples, t0_us=1_000_000, period_ns=5_000_000, sequence=7, profile_revision=2, device_id="a"
    )
    assert block.hex(" ") == (
        "41 40 42 0f 00 00 00 00 00 49 40 4b 4c 00 00 00 00 00 51 07 00 00 00 00 00 00 00 "
        "5d 02 00 00 00 65 01 00 00 00 6a 08 00 00 80 3f 00 00 00 c0 72 01 61"
    )
