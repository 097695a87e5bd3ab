"""How a shard's process keeps its memory: a batch's arrays must not cost page faults each time.

What a backlog took is given back once it is worked off.
"""

import ctypes
import gc
import time
from collections.abc import Callable
from typing import Final

# malloc.h
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_MMAP_THRESHOLD_BYTES: Final = 32 << 20
"""The most that glibc takes. By default a batch's larger arrays are mapped anew each time, and
the kernel clears every page of them: a quarter of a busy shard's CPU."""
_TRIM_THRESHOLD_BYTES: Final = 128 << 20
_YOUNG_OBJECTS_MAX: Final = 50_000
"""A batch's messages come and go without cycles; looking at them for some is 5 % of the CPU."""
BACKLOG_BATCHES: Final = 20
"""So many full batches leave memory that is worth to be given back: of each, its records' megabyte
and several of what is made of them."""
CALM_S: Final = 30.0


def keep_memory() -> None:
    """For a process that does the same again and again; what is alive now is never looked at."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc's
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS_MAX, 20, 100)


def give_back() -> None:
    """Free memory goes to the kernel; a pause of 20 to 40 ms."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc's
        libc.malloc_trim(0)


class Slack:
    """Gives back what a backlog took, when the shard has kept up for a while since."""

    def __init__(
        self,
        give: Callable[[], None] = give_back,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._give = give
        self._clock = clock
        self._full_batches = 0
        self._last_full_s = clock()

    def polled(self, *, behind: bool) -> None:
        """behind: the batch was as large as may be, so there is more."""
        if behind:
            self._full_batches += 1
            self._last_full_s = self._clock()
        elif self._full_batches and self._clock() - self._last_full_s >= CALM_S:
            if self._full_batches >= BACKLOG_BATCHES:
                self._give()
            self._full_batches = 0
