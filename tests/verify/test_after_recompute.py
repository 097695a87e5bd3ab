"""The offline computation of a corrected view: nothing comes too late."""

from pathlib import Path

from benchmarks.offline.outcome import compute
from fleetpulse.profile import AlertRule
from tests.verify.tiny_log import MINUTE_S, TinyLog, block, profile

RULE = AlertRule(threshold=8, raise_after=1, clear_after=1, dedup_s=0)


def test_a_late_block_counts_as_if_it_had_come_in_time(tmp_path: Path) -> None:
    blocks = [block(MINUTE_S + n, [float(n)] * 10) for n in range(12)]
    orderly, late = (TinyLog(tmp_path, profile(alert=RULE)) for _ in range(2))
    orderly.now_s = late.now_s = MINUTE_S + 20
    for each in blocks:
        orderly.add(each)
    for each in [*blocks[:9], *blocks[10:], blocks[9]]:
        late.add(each)
    live, in_time = late.outcome(), orderly.outcome()
    corrected = compute({0: late.records}, tmp_path, after_recompute=True)
    assert live.late
    assert not corrected.late
    for name in ("scores", "rollups", "alerts"):
        assert getattr(corrected, name) == getattr(in_time, name)
        assert getattr(live, name) != getattr(in_time, name)
