"""The kernel's passes over Python's own objects: messages, keys, handles."""

from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import pytest

from fleetpulse.kernel import native


@dataclass(frozen=True, slots=True)
class Message:
    """What a log's client answers."""

    offset: int = 7
    key: bytes | None = b"k"
    value: bytes | None = b"v"
    error: str | None = None
    partition: int | None = 3
    timestamp: object = (1, 1_700_000_000_123)


GETTERS = tuple(map(attrgetter, ("error", "partition", "offset", "timestamp", "key", "value")))


def test_messages_become_columns() -> None:
    found = native.messages([Message(), Message(offset=1 << 40, key=None, value=None)], GETTERS)
    assert found is not None
    partitions, offsets, times_ms = (np.frombuffer(each, np.int64).tolist() for each in found[:3])
    assert (partitions, offsets) == ([3, 3], [7, 1 << 40])
    assert times_ms == [1_700_000_000_123] * 2
    assert found[3:] == ([b"k", b""], [b"v", b""])


def test_no_messages_are_empty_columns() -> None:
    found = native.messages([], GETTERS)
    assert found is not None
    assert [len(each) for each in found] == [0] * 5


def test_one_refused_message_refuses_them_all() -> None:
    assert native.messages([Message(), Message(error="gone"), Message()], GETTERS) is None


@pytest.mark.parametrize(
    "odd", [Message(partition=None), Message(timestamp=5), Message(timestamp=(1,))]
)
def test_a_message_of_another_kind_raises(odd: Message) -> None:
    with pytest.raises(TypeError):
        native.messages([Message(), odd], GETTERS)


def test_getters_are_counted() -> None:
    with pytest.raises(TypeError):
        native.messages([], GETTERS[:5])


def test_places_of_a_key() -> None:
    assert native.places([b"a", b"", b"!tick", b"!tic", b"!tick"], b"!tick") == [2, 4]
    assert native.places([], b"a") == []
    with pytest.raises(TypeError):
        native.places(["a"], b"a")  # type: ignore[list-item]


def test_numbers_are_looked_up() -> None:
    found = np.full(3, -1)
    native.look_up({b"a": 5, b"b": 0}, [b"b", b"x", b"a"], found)
    assert found.tolist() == [0, -1, 5]
    with pytest.raises(ValueError, match="bytes"):
        native.look_up({}, [b"a"], found)
    with pytest.raises(TypeError):
        native.look_up({b"a": "five"}, [b"a"] * 3, found)  # type: ignore[dict-item]
