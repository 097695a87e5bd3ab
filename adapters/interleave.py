"""Rows of bytes from columns: constants and fixed-width values side by side in one buffer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def interleave(*parts: bytes | NDArray[Any]) -> list[bytes]:
    """One bytes object per row: each part in turn, constants as they are, columns row by row.

    Columns have one length n and any trailing shape; their dtype says width and byte order.
    """
    columns = [part for part in parts if not isinstance(part, bytes)]
    rows = np.empty(
        len(columns[0]),
        np.dtype(
            [
                (f"f{at}", np.uint8, (len(part),))
                if isinstance(part, bytes)
                else (f"f{at}", part.dtype, part.shape[1:])
                for at, part in enumerate(parts)
            ]
        ),
    )
    for at, part in enumerate(parts):
        rows[f"f{at}"] = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part
    data = rows.tobytes()
    width = rows.dtype.itemsize
    return [data[at : at + width] for at in range(0, len(data), width)]
