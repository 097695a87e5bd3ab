"""`fleetpulse explain`: what it shows of an alert."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from actors.explanation import Explanation, ShownScore, SourceRecord
from cli import explain as verb
from cli.app import build
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.reads import AlertRow, StoredAlert

AT_US = 1_790_000_000_000_000
PROFILE = Profile(
    name="pump", channels=("vib_x", "temp"), rate_hz=50, model="any@1",
    window=WindowSpec(size=4, hop=2), alert=AlertRule(threshold=2, raise_after=2),
)  # fmt: skip
ALERT = AlertRow(
    "0f", "default", "pump-1", AT_US, None, AT_US - 80_000, AT_US, 2.5, 2.5, 2.0, "any@1", "pump@1"
)
FOUND = Explanation(
    stored=StoredAlert(ALERT),
    run="live",
    profile=PROFILE,
    partition=3,
    window=np.array([[0, 60], [1, 60], [np.nan, np.nan], [3, 62]], np.float32),
    records=(SourceRecord(41, AT_US + 900, AT_US - 100_000, AT_US),),
    decided_at=41,
    score=2.5,
    scores=(
        ShownScore(AT_US - 80_000, 1.0, over=False),
        ShownScore(AT_US - 40_000, 2.25, over=True),
        ShownScore(AT_US, 2.5, over=True),
    ),
)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "_explained", lambda _: FOUND)


@pytest.mark.usefixtures("found")
def test_people_see_window_records_and_decision() -> None:
    result = CliRunner().invoke(build(), ["explain", "0f"])
    assert result.exit_code == 0, result.output
    for words in (
        "default/pump-1", "model any@1", "score 2.5 of 2", "the same bits as stored",
        "of the live view",
        "2 windows in a row over 2, 2 raise", "offset 41 of partition 3", "3/4", "vib_x", "▁",
    ):  # fmt: skip
        assert words in result.output, f"{words} is not told"


@pytest.mark.usefixtures("found")
def test_programs_get_all_of_it() -> None:
    answer = json.loads(CliRunner().invoke(build(), ["explain", "0f", "--json"]).output)
    assert answer["same_bits"] is True
    assert (answer["run"], answer["view_epoch"], answer["withdrawn"]) == ("live", 0, False)
    assert answer["decided_at_offset"] == 41
    assert answer["channels"]["temp"] == {
        "present": 3,
        "min": 60.0,
        "mean": pytest.approx(182 / 3),
        "max": 62.0,
    }
    assert [score["over"] for score in answer["scores"]] == [False, True, True]
    assert answer["profile"]["alert"]["raise_after"] == 2


def test_another_score_than_the_stored_one_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(FOUND, score=2.75)
    monkeypatch.setattr(verb, "_explained", lambda _: other)
    result = CliRunner().invoke(build(), ["explain", "0f"])
    assert result.exit_code == 1
    assert "stored: 2.5" in result.output


def test_a_correction_s_alert_is_told_with_its_view(monkeypatch: pytest.MonkeyPatch) -> None:
    late = replace(FOUND.records[0], late=True)
    promoted = replace(FOUND, stored=StoredAlert(ALERT, 3), run="next", records=(late,))
    monkeypatch.setattr(verb, "_explained", lambda _: promoted)
    told = CliRunner().invoke(build(), ["explain", "0f"]).output
    assert "of view 3, recomputed" in told
    assert "last record to come is at offset 41" in told
    assert "  late " in told
    answer = json.loads(CliRunner().invoke(build(), ["explain", "0f", "--json"]).output)
    assert (answer["run"], answer["view_epoch"]) == ("next", 3)


def test_a_withdrawn_alert_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    withdrawn = replace(FOUND, stored=StoredAlert(ALERT, 2, withdrawn=True))
    monkeypatch.setattr(verb, "_explained", lambda _: withdrawn)
    assert "withdrawn by view 2" in CliRunner().invoke(build(), ["explain", "0f"]).output
