"""The counted windows are those that the offline computation scores."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.windows import SentFleet, WindowLedger
from fleetpulse.profile import Profile, WindowSpec
from tests.verify.tiny_log import MINUTE_S, TinyLog, block, profile

KEYS = [b"default/a", b"default/b", b"default/c"]
FRAMES, FRAME = 10, 4
SAMPLES = FRAMES * FRAME


def sent(tmp_path: Path, used: Profile) -> tuple[WindowLedger, list[tuple[bytes, int]]]:
    first_us = np.array([MINUTE_S * 1_000_000 + d * 100_000 for d in range(3)])
    log = TinyLog(tmp_path, used)
    for number in range(FRAMES):
        for key, first in zip(KEYS, first_us.tolist(), strict=True):
            log.add(block(first / 1e6 + number * FRAME / 10, [1.0] * FRAME), key=key)
    seen = [(key, start) for key, start, _ in log.outcome().scores]
    due_us = first_us[:, None] + np.arange(FRAMES) * FRAME * 100_000 + (FRAME - 1) * 100_000
    due_us[1, 3] += 500_000
    sent_us = due_us + 1000
    return WindowLedger(used, SentFleet(KEYS, first_us, due_us, sent_us, FRAME)), seen


@pytest.mark.parametrize("coverage_min", [0.5, 0.9, 1.0])
def test_all_expected_windows_are_seen(tmp_path: Path, coverage_min: float) -> None:
    used = profile(window=WindowSpec(size=8, hop=4, coverage_min=coverage_min), lateness_ms=300)
    ledger, seen = sent(tmp_path, used)
    tally = ledger.tally(seen)
    assert (tally.lost, tally.doubled, tally.unexpected) == (0, 0, 0)
    assert tally.expected == len(seen)


def test_lost_doubled_and_unexpected_windows_are_counted(tmp_path: Path) -> None:
    ledger, seen = sent(tmp_path, profile(window=WindowSpec(size=8, hop=4)))
    tally = ledger.tally([*seen[2:], seen[5], (b"default/z", 0), (KEYS[0], 1)])
    assert (tally.lost, tally.doubled, tally.unexpected) == (2, 1, 2)


def test_samples_in_windows_count_once(tmp_path: Path) -> None:
    used = profile(window=WindowSpec(size=8, hop=4, aligned=True))
    ledger, seen = sent(tmp_path, used)
    of_first = [(key, start) for key, start in seen if key == KEYS[0]]
    assert ledger.tally(of_first).samples_scored == SAMPLES
    assert ledger.tally([of_first[0], of_first[2]]).samples_scored == 16


def test_a_window_is_due_with_the_frame_that_completes_it(tmp_path: Path) -> None:
    ledger, _ = sent(tmp_path, profile())
    start_us = MINUTE_S * 1_000_000
    assert ledger.due_us(KEYS[0], start_us + 400_000) == start_us + 300_000
    assert ledger.due_us(KEYS[0], start_us + 500_000) == start_us + 700_000
    assert ledger.due_us(KEYS[1], start_us + 500_000) == start_us + 400_000
    assert ledger.sent_us(KEYS[1], start_us + 500_000) == start_us + 401_000
    delayed_us = start_us + 1_600_000 + 500_000
    assert ledger.due_us(KEYS[1], start_us + 1_700_000) == delayed_us
    assert ledger.due_us(KEYS[1], start_us + 2_100_000) == delayed_us, "it waits for frame 3"
    assert ledger.due_us(KEYS[1], start_us + 2_500_000) == start_us + 2_400_000
