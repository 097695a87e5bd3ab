"""The compiled part of the core: all that is done to each sample and each unit, on raw arrays.

It computes what tests/core/plain computes with numpy, to the bit. build_kernel.py builds it.
"""

from typing import Any

from numpy.typing import NDArray

try:
    from fleetpulse.kernel import native
except ImportError as error:
    remedy = "run `.venv/bin/python build_kernel.py` there"
    raise ImportError(f"fleetpulse/kernel is not compiled for this Python: {remedy}") from error

Raw = bytearray | bytes | NDArray[Any]
"""A column as bytes, whoever wrote it."""

__all__ = ["Raw", "native"]
