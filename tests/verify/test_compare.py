"""The comparison must be able to fail: each wrong output is found, and named."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.offline import compare
from benchmarks.offline.outcome import Outcome
from benchmarks.offline.rollups import Stats
from fleetpulse.profile import AlertRule, WindowSpec
from tests.verify.tiny_log import MINUTE_S, TinyLog, block, profile


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    rule = AlertRule(threshold=5, raise_after=1)
    window = WindowSpec(size=1, hop=1, aligned=True)
    log = TinyLog(tmp_path, profile(window=window, alert=rule))
    log.add(block(MINUTE_S, [float(x) for x in range(25)]))
    return log.outcome()


def compare_scores(outcome: Outcome, observed: list[tuple[tuple[bytes, int, int], float]]) -> str:
    found = compare.compare_once(
        outcome.scores,
        observed,
        compare.score_name,
        compare.score_difference,
        outcome.scores.earlier,
    )
    return "; ".join(map(str, found))


def test_equal_outputs_have_no_findings(outcome: Outcome) -> None:
    assert compare_scores(outcome, list(outcome.scores.items())) == ""


def test_a_missing_score_is_found(outcome: Outcome) -> None:
    text = compare_scores(outcome, list(outcome.scores.items())[1:])
    assert text == "missing: score of default/a for 00:00:00.000 to 00:00:00.100".replace(
        "00:00:00", f"{MINUTE_S // 3600 % 24:02}:{MINUTE_S // 60 % 60:02}:00"
    )


def test_a_doubled_score_is_found(outcome: Outcome) -> None:
    observed = list(outcome.scores.items())
    assert "is there 2 times" in compare_scores(outcome, [*observed, observed[3]])


def test_a_score_of_no_window_is_found(outcome: Outcome) -> None:
    observed = list(outcome.scores.items())
    stranger = ((b"default/a", 5, 6), 1.0)
    assert "unexpected: score" in compare_scores(outcome, [*observed, stranger])


def test_a_second_life_is_owed_what_the_first_was(outcome: Outcome) -> None:
    key, score = next(iter(outcome.scores.items()))
    once = list(outcome.scores.items())
    outcome.scores.add(key, score + 1)
    assert "is there 1 times instead of 2" in compare_scores(outcome, once)
    assert compare_scores(outcome, [*once, (key, score + 1)]) == ""
    assert "different" in compare_scores(outcome, [(key, score + 1), *once]), "in their order"
    assert "is there 3 times" in compare_scores(outcome, [*once, *[(key, score + 1)] * 2])


@pytest.mark.parametrize(("factor", "same"), [(1 + 1e-6, True), (1 + 1e-4, False)])
def test_scores_differ_beyond_their_tolerance(outcome: Outcome, factor: float, same: bool) -> None:
    observed = [(key, score * factor) for key, score in outcome.scores.items()]
    assert (compare_scores(outcome, observed) == "") is same


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("count", 9, "count 9 instead of 10"),
        ("mean", 4.5 + 1e-6, "mean 4.500001 instead of 4.5"),
        ("std", float("nan"), "std nan instead of"),
    ],
)
def test_a_wrong_statistic_is_found(outcome: Outcome, field: str, value: float, text: str) -> None:
    key = (b"default/a", 1, MINUTE_S * 1_000_000)
    right = outcome.rollups[key]
    changed = {**asdict(right.channels[0]), field: value}
    wrong = replace(right, channels=(Stats(**changed),))
    assert text in compare.rollup_difference(right, wrong)
    assert compare.rollup_difference(right, right) == ""


def test_wrong_score_statistics_are_found(outcome: Outcome) -> None:
    right = outcome.rollups[b"default/a", 1, MINUTE_S * 1_000_000]
    assert compare.rollup_difference(right, replace(right, score_over=0)).startswith("0 scores")
    lost = replace(right, scores=replace(right.scores, count=9))
    assert compare.rollup_difference(right, lost) == "scores: count 9 instead of 10"


def test_a_wrong_alert_is_found(outcome: Outcome) -> None:
    (right,) = outcome.alerts.values()
    assert compare.alert_difference(right, right) == ""
    assert "at_us" in compare.alert_difference(right, replace(right, at_us=1))
    assert "peak_score" in compare.alert_difference(right, replace(right, peak_score=1.0))


def test_summary_counts_by_kind(outcome: Outcome) -> None:
    observed = list(outcome.scores.items())[2:]
    found = compare.compare_once(
        outcome.scores, observed, compare.score_name, compare.score_difference
    )
    assert compare.summary(found) == "2 missing"
    assert compare.summary([]) == "equal"
