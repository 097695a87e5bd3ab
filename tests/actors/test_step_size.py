"""Small records come in larger steps, none in smaller ones."""

import numpy as np

from actors.step_size import StepSize
from fleetpulse.identity import TICK_KEY
from fleetpulse.ports import RecordBatch


def of(values: list[bytes]) -> RecordBatch:
    n = len(values)
    zeros = np.zeros(n, np.int64)
    return RecordBatch(np.zeros(n, np.int32), zeros, zeros, [b"0123456789"] * n, values)


def test_the_next_step_is_as_large_as_the_records_are_small() -> None:
    step = StepSize(records_max=100, bytes_max=10_000)
    assert step.records_max == 100
    step.polled(of([b"x" * 10] * 500))
    assert step.records_max == 10_000 // 20
    step.polled(of([]))
    assert step.records_max == 10_000 // 20
    step.polled(of([b"x" * 10_000]))
    assert step.records_max == 100


def test_ticks_say_nothing_of_the_devices_records() -> None:
    step = StepSize(records_max=100, bytes_max=10_000)
    zeros = np.zeros(2, np.int64)
    step.polled(RecordBatch(np.zeros(2, np.int32), zeros, zeros, [TICK_KEY] * 2, [b"", b""]))
    assert step.records_max == 100


def test_a_step_has_a_bound_whatever_the_bytes() -> None:
    step = StepSize(records_max=100, bytes_max=1 << 40)
    step.polled(of([b""]))
    assert step.records_max == 100_000, "more than a million is more than the client takes"


def test_no_bytes_is_the_number_of_records_alone() -> None:
    step = StepSize(records_max=40, bytes_max=0)
    step.polled(of([b""]))
    assert step.records_max == 40
