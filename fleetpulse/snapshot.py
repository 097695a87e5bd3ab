"""The state of one partition at one offset, as plain arrays and JSON values.

The core exports and imports it; a SnapshotStore gives it a durable form. A device's state is a
blob: it is stored once, and every snapshot in which the device has not changed names that blob.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import Arrays
from fleetpulse.effects import I64
from fleetpulse.profile import Profile

RESULT_VERSION = 2
"""The newest that this release computes. Raised by a release that changes results."""
RESULT_VERSIONS = frozenset({2})
"""All that it computes: a partition keeps its version until a control record raises it."""
FIRST_RESULT_VERSION = 2
"""Of a partition whose log has no such record."""

NOWHERE = -1
BLOB = np.dtype([("segment", "<i4"), ("length", "<i4"), ("position", "<i8")])
"""Where a device's state is stored. segment: a number that its store gave out, or NOWHERE."""
Blobs = NDArray[np.void]


def no_blobs(count: int) -> Blobs:
    """Blobs that are stored nowhere."""
    blobs = np.zeros(count, BLOB)
    blobs["segment"] = NOWHERE
    return blobs


@dataclass(frozen=True, slots=True)
class DeviceStates:
    """Devices of one profile in one partition, n of them; the states of m of them are at hand.

    keys: object [n]; active: bool [n]; known: what a directory keeps of each device, arrays [n].
    inline: int64 [m], which devices' states are in `rows`, arrays [m] by column name.
    handles: int64 [n], of the engine that exported them; empty when loaded.
    """

    profile: Profile
    keys: NDArray[np.object_]
    active: NDArray[np.bool_]
    known: Arrays
    blobs: Blobs
    inline: I64
    rows: Arrays
    handles: I64


@dataclass(frozen=True, slots=True)
class PartitionSnapshot:
    """Everything a shard needs to continue a partition at `next_offset`.

    topic_id: the Kafka topic's id, so that a re-created topic is noticed.
    meta: JSON-able. copy: which copy of its directory this is; 0 when loaded.
    """

    partition: int
    next_offset: int
    topic_id: str
    result_version: int
    meta: dict[str, object]
    cohorts: list[DeviceStates]
    copy: int = 0
