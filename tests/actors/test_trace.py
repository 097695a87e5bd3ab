"""A shard's notes: when sampled results passed each stage, without a change of any result."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.trace import FileTracer, tracer
from fleetpulse.effects import AlertEvent, Effects, ScoreRows
from fleetpulse.ports import Advance, RecordBatch
from tests.verify.tiny_log import profile

KEYS = [b"default/a", b"default/b", b"default/a"]
BATCH = RecordBatch(
    np.array([0, 1, 0], np.int32),
    np.array([7, 3, 8]),
    np.array([1_000, 2_000, 3_000]),
    KEYS,
    [b""] * 3,
)
ORDER = ("polled", "stepped", "scored", "concluded", "committed")


def raised(device: str, partition: int) -> AlertEvent:
    return AlertEvent(
        partition, "id", "default", device, "raised", 900, 900, 100, 900, 2.0, 2.0, 1.0, "m", "p@1"
    )


def scores(key: bytes) -> ScoreRows:
    return ScoreRows(
        profile(),
        np.array([0], np.int32),
        [key],
        np.array([100]),
        np.array([900]),
        np.array([0.5], np.float32),
        "any@1",
        1.0,
    )


class Followed:
    """A tracer that took one cut, and what it wrote."""

    def __init__(self, file: Path, effects: Effects) -> None:
        self.file = file
        self.tracer = FileTracer(file)
        for passed in (self.tracer.polled, self.tracer.stepped, self.tracer.scored):
            passed()
        self.tracer.decided(BATCH, effects)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


Follow = Callable[[Effects], Followed]


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    with ExitStack() as ends:

        def begin(effects: Effects) -> Followed:
            followed = Followed(tmp_path / "trace" / "shard-0.jsonl", effects)
            ends.callback(followed.tracer.close)
            return followed

        yield begin


def test_an_alert_is_noted_once_its_sink_has_it(follow: Follow) -> None:
    followed = follow(Effects(alerts=[raised("a", 0), raised("b", 1)]))
    followed.tracer.committed("alerts", {0: Advance(1, 7, 8)})
    assert not followed.lines(), "the record that raised it, the device's newest, is not in yet"
    followed.tracer.committed("kafka", {0: Advance(1, 7, 9)})
    assert not followed.lines(), "an alert is visible by the alert sink's commit"
    followed.tracer.committed("alerts", {0: Advance(1, 8, 9)})
    (line,) = followed.lines()
    assert (line["of"], line["key"], line["end_us"]) == ("alert", "default/a", 900)
    times_us = line["at_us"]
    assert times_us["appended"] == 3_000
    assert sorted(ORDER, key=times_us.__getitem__) == list(ORDER), "stages follow each other"
    followed.tracer.committed("alerts", {1: Advance(1, 0, 4)})
    assert len(followed.lines()) == 2, "each partition advances by itself"


def test_a_score_waits_for_kafka_and_some_are_enough(follow: Follow) -> None:
    followed = follow(Effects(scores=[scores(b"default/a")]))
    followed.tracer.decided(BATCH, Effects(scores=[scores(b"default/b")]))
    followed.tracer.committed("kafka", {0: Advance(1, 0, 9), 1: Advance(1, 0, 9)})
    assert [line["key"] for line in followed.lines()] == ["default/a"]


def test_what_a_sink_had_before_is_of_an_earlier_life(follow: Follow) -> None:
    followed = follow(Effects(alerts=[raised("a", 0)]))
    followed.tracer.committed("alerts", {0: Advance(1, 9, 12)})
    assert not followed.lines()


def test_a_full_disk_ends_the_notes_not_the_shard() -> None:
    followed = Followed(Path("/dev/full"), Effects(alerts=[raised("a", 0), raised("b", 1)]))
    followed.tracer.committed("alerts", {0: Advance(1, 8, 9)})
    assert not followed.tracer.open
    followed.tracer.committed("alerts", {1: Advance(1, 0, 9)})


def test_nothing_is_noted_unless_a_folder_is_named(tmp_path: Path) -> None:
    assert not isinstance(tracer(None, "shard-0"), FileTracer)
    named = tracer(tmp_path, "shard-0")
    assert isinstance(named, FileTracer)
    named.close()
