"""A generation's manifest (format 2): every device of a partition, and the blob that holds it.

Arrays of cohort n are named `n/…`: keys and key_lengths, active, known/…, and of each blob the
segment (its number in the manifest's own list), position and length.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapters.snapshots.format import Document
from fleetpulse.columns import Arrays, under
from fleetpulse.profile import Profile
from fleetpulse.snapshot import BLOB, Blobs, DeviceStates, PartitionSnapshot


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of blobs, as a manifest names it."""

    name: str
    size_bytes: int


def document_of(snapshot: PartitionSnapshot, segments: Mapping[int, Segment]) -> Document:
    """segments: what the numbers in the snapshot's blobs stand for."""
    used = segments_of(snapshot)
    arrays: Arrays = {}
    for number, states in enumerate(snapshot.cohorts):
        prefix = f"{number}/"
        keys = states.keys.tolist()
        arrays |= {
            f"{prefix}keys": np.frombuffer(b"".join(keys), np.uint8),
            f"{prefix}key_lengths": np.fromiter(map(len, keys), np.int32, len(keys)),
            f"{prefix}active": states.active,
            f"{prefix}segment": np.searchsorted(used, states.blobs["segment"]).astype(np.int32),
            f"{prefix}position": states.blobs["position"],
            f"{prefix}length": states.blobs["length"],
        }
        arrays |= {f"{prefix}known/{name}": values for name, values in states.known.items()}
    return Document(
        partition=snapshot.partition,
        next_offset=snapshot.next_offset,
        topic_id=snapshot.topic_id,
        result_version=snapshot.result_version,
        meta={
            "partition": snapshot.meta,
            "profiles": [states.profile.model_dump(mode="json") for states in snapshot.cohorts],
            "segments": [
                [segments[number].name, segments[number].size_bytes] for number in used.tolist()
            ],
        },
        arrays=arrays,
    )


def snapshot_of(document: Document, numbers: Sequence[int]) -> PartitionSnapshot:
    """numbers: what the reader calls the manifest's segments. No state is at hand yet."""
    return PartitionSnapshot(
        partition=document.partition,
        next_offset=document.next_offset,
        topic_id=document.topic_id,
        result_version=document.result_version,
        meta=document.meta["partition"],
        cohorts=[
            _states(Profile.model_validate(profile), under(f"{n}/", document.arrays), numbers)
            for n, profile in enumerate(document.meta["profiles"])
        ],
    )


def listed(document: Document) -> list[Segment]:
    """The segments that a manifest refers to."""
    return [Segment(name, size) for name, size in document.meta.get("segments", [])]


def segments_of(snapshot: PartitionSnapshot) -> NDArray[np.int32]:
    """The numbers of the segments that a snapshot refers to, ascending."""
    none = np.empty(0, np.int32)
    return np.unique(np.concatenate([none, *(c.blobs["segment"] for c in snapshot.cohorts)]))


def _states(profile: Profile, arrays: Arrays, numbers: Sequence[int]) -> DeviceStates:
    lengths = arrays["key_lengths"].astype(np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    text = arrays["keys"].tobytes()
    keys = np.empty(len(ends), object)
    keys[:] = [text[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    blobs: Blobs = np.empty(len(keys), BLOB)
    blobs["segment"] = np.array(numbers, np.int32)[arrays["segment"].astype(np.int64)]
    blobs["position"], blobs["length"] = arrays["position"], arrays["length"]
    return DeviceStates(
        profile=profile,
        keys=keys,
        active=arrays["active"].astype(np.bool_),
        known=under("known/", arrays),
        blobs=blobs,
        inline=np.empty(0, np.int64),
        rows={},
        handles=np.empty(0, np.int64),
    )
