"""Memory that a backlog took is given back once, when the shard has kept up for a while."""

import ctypes
import subprocess
import sys

import pytest

from actors.memory import BACKLOG_BATCHES, CALM_S, Slack


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_it_is_given_back_once_after_a_backlog() -> None:
    clock, given = Clock(), list[float]()
    slack = Slack(lambda: given.append(clock.now_s), clock)
    for _ in range(BACKLOG_BATCHES):
        clock.now_s += 0.1
        slack.polled(behind=True)
    worked_off_s = clock.now_s
    for _ in range(2000):
        clock.now_s += 0.1
        slack.polled(behind=False)
    assert given == [pytest.approx(worked_off_s + CALM_S, abs=0.11)]


@pytest.mark.parametrize(
    ("turns", "turn_s", "full_every"),
    [
        pytest.param(20_000, 1.0, 60, id="a full batch now and then is no backlog"),
        pytest.param(50_000, 0.1, 100, id="each time would cost a pause"),
    ],
)
def test_while_a_shard_is_behind_now_and_then_nothing_is_given_back(
    turns: int, turn_s: float, full_every: int
) -> None:
    clock, given = Clock(), list[float]()
    slack = Slack(lambda: given.append(clock.now_s), clock)
    for turn in range(turns):
        clock.now_s += turn_s
        slack.polled(behind=turn % full_every == 0)
    assert not given


GIVING_BACK = """
from pathlib import Path
from actors.memory import give_back, keep_memory

def resident_kb():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss"))

keep_memory()
blocks = [b"x" * 200_000 for _ in range(500)]
last = bytes(200_000)  # above them: without it the heap's end is free and goes by itself
del blocks
before_kb = resident_kb()
give_back()
print(before_kb - resident_kb())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc keeps it")
def test_the_process_is_smaller_then() -> None:
    run = subprocess.run(
        [sys.executable, "-c", GIVING_BACK], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(run.stdout) > 50_000, "KB of the 100 MB that were free"
