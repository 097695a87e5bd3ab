"""How a shard's process keeps its memory: a batch's arrays must not cost page faults each time."""

import ctypes
import gc
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


def keep_memory() -> None:
    """For a process that does the same again and again; what is alive now is never looked at."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc's
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS_MAX, 20, 100)
