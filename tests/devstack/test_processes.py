"""What a process holds, told apart from what the kernel only caches for it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from devstack.processes import memory_of

MB = 1 << 20
# In a process of its own: a test suite's frees memory while it is measured.
_GROWTH = """
import mmap, sys
import psutil
from devstack.processes import memory_of
me = psutil.Process()
before = memory_of(me)
{}
after = memory_of(me)
print(after.share - before.share, after.held - before.held)
"""


def growth(code: str, *arguments: str) -> tuple[int, int]:
    """By how many bytes its share and what it holds grow with these lines."""
    done = subprocess.run(
        [sys.executable, "-c", _GROWTH.format(code), *arguments],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    share, held = map(int, done.stdout.split())
    return share, held


def test_pages_of_a_mapped_file_are_shared_out_but_not_held(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(bytes(64 * MB))
    share, held = growth(
        "file = open(sys.argv[1], 'rb')\n"
        "mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "touched = sum(mapped[at] for at in range(0, len(mapped), mmap.PAGESIZE))",
        str(path),
    )
    assert share > 56 * MB
    assert held < 8 * MB


def test_memory_of_its_own_is_held() -> None:
    share, held = growth(f"own = bytearray(b'x') * {64 * MB}")
    assert share > 56 * MB
    assert held > 56 * MB


def test_a_process_that_has_ended_says_so() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    ended = psutil.Process(pid)
    os.waitpid(pid, 0)
    with pytest.raises(psutil.NoSuchProcess):
        memory_of(ended)
