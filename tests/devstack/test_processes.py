"""What a process holds, told apart from what the kernel only caches for it."""

import mmap
import os
from pathlib import Path

import psutil
import pytest

from devstack.processes import Memory, memory_of

MB = 1 << 20


@pytest.fixture
def before() -> Memory:
    return memory_of(psutil.Process())


def test_pages_of_a_mapped_file_are_shared_out_but_not_held(before: Memory, tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(os.urandom(64 * MB))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) > 0
        after = memory_of(psutil.Process())
    assert after.share - before.share > 56 * MB
    assert after.held - before.held < 8 * MB


def test_memory_of_its_own_is_held(before: Memory) -> None:
    own = bytearray(os.urandom(64 * MB))
    after = memory_of(psutil.Process())
    assert own
    assert after.held - before.held > 56 * MB


def test_a_process_that_has_ended_says_so() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    ended = psutil.Process(pid)
    os.waitpid(pid, 0)
    with pytest.raises(psutil.NoSuchProcess):
        memory_of(ended)
