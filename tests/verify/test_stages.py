"""What the shards noted, joined with what was seen from outside."""

import json
from pathlib import Path

import numpy as np

from benchmarks.alert_watch import VisibleAlert
from benchmarks.score_watch import Received
from benchmarks.stages import SHARD, STAGES, stages
from benchmarks.windows import SentFleet, WindowLedger
from tests.verify.tiny_log import profile

KEY = b"default/a"
FRAME = 4
PERIOD_US = 100_000
END_US = FRAME * PERIOD_US
"""The first frame completes it."""
DUE_US = 1_000_000


def ledger() -> WindowLedger:
    due_us = np.array([[DUE_US, 2 * DUE_US]])
    fleet = SentFleet([KEY], np.array([0]), due_us, due_us + 1_000, FRAME)
    return WindowLedger(profile(), fleet)


def note(of: str, end_us: int) -> str:
    """Each stage of a shard takes 1 ms longer than the one before; the log 2 ms."""
    at_us, now_us = {}, DUE_US + 1_000
    for number, stage in enumerate(SHARD, 2):
        now_us += number * 1_000
        at_us[stage] = now_us
    return json.dumps({"of": of, "key": KEY.decode(), "end_us": end_us, "at_us": at_us}) + "\n"


def committed_us() -> int:
    return DUE_US + 1_000 * sum(range(1, len(SHARD) + 2))


def test_each_stage_counts_from_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "shard-0.jsonl").write_text(note("alert", END_US) + '{"of": "cut o')
    (tmp_path / "shard-1.jsonl").write_text(note("score", END_US) + note("score", 2 * END_US))
    seen_us = committed_us() + 8_000
    alert = VisibleAlert(KEY, END_US, committed_us(), seen_us)
    score = Received(KEY, 0, END_US, 0, seen_us)
    found = stages(tmp_path, ledger(), [score], [alert], from_us=0)
    assert found.keys() == {"alert", "score"}
    for of, passed in found.items():
        assert tuple(passed) == STAGES
        assert [each.p50 for each in passed.values()] == [1, 2, 3, 4, 5, 6, 7, 8], of


def test_what_nobody_saw_has_no_stages(tmp_path: Path) -> None:
    (tmp_path / "shard-0.jsonl").write_text(note("alert", END_US))
    unseen = VisibleAlert(KEY, END_US, committed_us(), None)
    assert stages(tmp_path, ledger(), [], [unseen], from_us=0) == {}
    assert stages(None, ledger(), [], [], from_us=0) == {}
    seen = VisibleAlert(KEY, END_US, committed_us(), committed_us())
    assert stages(tmp_path, ledger(), [], [seen], from_us=END_US) == {}, "too early to be timed"
