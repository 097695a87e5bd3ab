"""The state of one partition at one offset, as plain arrays and JSON values.

The core exports and imports it; a SnapshotStore gives it a durable form.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESULT_VERSION = 1
"""Raised by a release that changes results."""


@dataclass(frozen=True, slots=True)
class PartitionSnapshot:
    """Everything a shard needs to continue a partition at `next_offset`.

    topic_id: the Kafka topic's id, so that a re-created topic is noticed.
    meta: JSON-able. arrays: any numeric dtype and shape; names contain letters, digits, "/_@.-".
    """

    partition: int
    next_offset: int
    topic_id: str
    result_version: int
    meta: dict[str, object]
    arrays: dict[str, NDArray[np.generic]]
