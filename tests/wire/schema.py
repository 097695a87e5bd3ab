"""The frozen schema, and messages with every field filled."""

import json
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message

from fleetpulse import telemetry_pb2

GOLDEN = Path(__file__).resolve().parent / "golden"
PACKAGE = "fleetpulse.v1"
MESSAGES = sorted(telemetry_pb2.DESCRIPTOR.message_types_by_name)


def frozen_schema() -> FileDescriptorProto:
    """The schema as devices and logs out there have it."""
    text = (GOLDEN / "telemetry.v1.json").read_text()
    return json_format.Parse(text, FileDescriptorProto())


def frozen_bytes() -> dict[str, str]:
    """Message -> hexadecimal bytes that a program of the frozen schema wrote."""
    loaded: dict[str, str] = json.loads((GOLDEN / "messages.v1.json").read_text())
    return loaded


def current(name: str) -> Message:
    """An empty message of today's code."""
    message: Message = getattr(telemetry_pb2, name)()
    return message


def of_schema(schema: FileDescriptorProto, name: str) -> Message:
    """An empty message of another version's code."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(schema)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))()


def filled(message: Message) -> Message:
    """Give every field a value that tells it from the others; of a oneof, only the first."""
    for field in message.DESCRIPTOR.fields:
        choice = field.containing_oneof
        if choice is None or message.WhichOneof(choice.name) is None:
            _fill(message, field)
    return message


def _fill(message: Message, field: Any) -> None:
    child = field.message_type
    if child is not None and child.GetOptions().map_entry:
        getattr(message, field.name).update({"temperature": 21.5, "pressure": -1.0})
    elif child is not None and field.is_repeated:
        filled(getattr(message, field.name).add())
    elif child is not None:
        filled(getattr(message, field.name))
    else:
        setattr(message, field.name, _scalar(field))


def _scalar(field: Any) -> object:
    number = field.number
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return bytes(range(number))
        case FieldDescriptor.CPPTYPE_STRING:
            return f"{field.name}-{number}"
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return number + 0.25
        case FieldDescriptor.CPPTYPE_ENUM:
            return 1
        case _:
            return 1_000 + number
