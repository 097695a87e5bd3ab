"""Format 1 held every device's state in the snapshot's own file. It is read, no longer written."""

import numpy as np

from adapters.snapshots.format import Document
from fleetpulse.columns import under
from fleetpulse.profile import Profile
from fleetpulse.snapshot import DeviceStates, PartitionSnapshot, no_blobs


def snapshot_of(document: Document) -> PartitionSnapshot:
    """All its devices are active, and none of their states is stored as a blob."""
    cohorts: list[DeviceStates] = []
    for number, saved in enumerate(document.meta["cohorts"]):
        keys = np.array([key.encode() for key in saved["keys"]], object)
        cohorts.append(
            DeviceStates(
                profile=Profile.model_validate(saved["profile"]),
                keys=keys,
                active=np.ones(len(keys), np.bool_),
                known={},
                blobs=no_blobs(len(keys)),
                inline=np.arange(len(keys)),
                rows=under(f"{number}/", document.arrays),
                handles=np.empty(0, np.int64),
            )
        )
    return PartitionSnapshot(
        partition=document.partition,
        next_offset=document.next_offset,
        topic_id=document.topic_id,
        result_version=document.result_version,
        meta={name: value for name, value in document.meta.items() if name != "cohorts"},
        cohorts=cohorts,
    )
