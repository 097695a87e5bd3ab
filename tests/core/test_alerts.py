"""When scores become an alert, and when it ends."""

from collections.abc import Sequence

import numpy as np
import pytest

from fleetpulse.alerts import AlertStates, Transition
from fleetpulse.outcome import result_id
from fleetpulse.profile import AlertRule

SECOND_US = 1_000_000


def alerts(scores: Sequence[float], **changes: object) -> list[tuple[str, int, float, float]]:
    """(kind, window number, score, peak) of one window per second."""
    return [
        (t.kind, t.at_us // SECOND_US, t.score, t.peak) for t in transitions([scores], **changes)
    ]


def transitions(devices: Sequence[Sequence[float]], **changes: object) -> list[Transition]:
    fields: dict[str, object] = {"threshold": 10, "raise_after": 2, "clear_ratio": 0.5,
                                 "clear_after": 3, "dedup_s": 0}  # fmt: skip
    states = AlertStates(AlertRule(**fields | changes))  # type: ignore[arg-type]
    states.grow(len(devices))
    out: list[Transition] = []
    for number, scores in enumerate(zip(*devices, strict=True), 1):
        rows = np.arange(len(devices))
        ends = np.full(len(rows), number * SECOND_US)
        out += states.apply(rows, ends - 2 * SECOND_US, ends, np.array(scores, np.float32))
    return out


def test_n_windows_in_a_row_raise() -> None:
    assert alerts([11, 9, 11, 11, 11]) == [("raised", 4, 11, 11)], "9 breaks the row"


@pytest.mark.parametrize("score", [10.0, 9.0, 5.0])
def test_a_score_between_the_bounds_counts_for_neither(score: float) -> None:
    assert alerts([11, score, 11]) == []
    assert [a[1] for a in alerts([11, 11, 4, 4, score, 4, 4, 4])] == [2, 8]


def test_m_windows_in_a_row_clear() -> None:
    events = alerts([11, 12, 30, 4, 4, 20, 4, 4, 4, 4])
    assert events == [("raised", 2, 12, 12), ("cleared", 9, 4, 30)], "one alert, with its peak"


def test_the_peak_is_of_this_alert() -> None:
    events = alerts([90, 11, 4, 4, 4, 11, 12, 4, 4, 4])
    assert [e[3] for e in events] == [11, 11, 12, 12], "90 was before the alert was raised"


def test_no_new_alert_within_dedup() -> None:
    scores = [11, 11, 4, 4, 4] + [11] * 20
    assert [a[:2] for a in alerts(scores, dedup_s=8)] == [
        ("raised", 2), ("cleared", 5), ("raised", 13),
    ], "raised at the first window that ends 8 s after the clearing one"  # fmt: skip


def test_the_first_alert_needs_no_dedup() -> None:
    assert [a[1] for a in alerts([11, 11], dedup_s=1e9)] == [2]


def test_thresholds_are_compared_in_float64() -> None:
    just_above = float(np.float32(0.1))
    assert just_above > 0.1
    assert len(alerts([just_above] * 2, threshold=0.1)) == 1, "as float32 both would be equal"


def test_a_score_that_is_no_number_raises_and_clears_nothing() -> None:
    assert alerts([11, float("nan"), 11]) == []
    assert [a[3] for a in alerts([11, 11, float("nan"), 4, 4, 4])] == [11, 11]


def test_devices_do_not_share_their_counts() -> None:
    found = transitions([[11, 11, 11], [4, 11, 11], [11, 4, 11]])
    assert [(t.row, t.at_us // SECOND_US) for t in found] == [(0, 2), (1, 3)]


def test_windows_of_one_batch_are_taken_in_order() -> None:
    states = AlertStates(AlertRule(threshold=10, raise_after=1, clear_after=1, dedup_s=0))
    states.grow(1)
    ends = np.arange(1, 7) * SECOND_US
    scores = np.array([11, 4, 12, 13, 4, 4], np.float32)
    found = states.apply(np.zeros(6, np.int64), ends - SECOND_US, ends, scores)
    assert [(t.kind, t.at_us // SECOND_US) for t in found] == [
        ("raised", 1), ("cleared", 2), ("raised", 3), ("cleared", 5),
    ]  # fmt: skip
    assert [t.window_start_us // SECOND_US for t in found] == [0, 0, 2, 2], "of the raising window"


def test_an_alert_has_the_same_name_wherever_it_is_computed() -> None:
    assert result_id(b"default/pump-7", "pump@1", 1_750_000_000_000_000) == (
        "37df1b5d913629d614975db3163179bc"
    )
