"""What is stored of a partition, whether it is whole, and putting a generation back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from adapters.snapshots import manifest
from adapters.snapshots.files import Files
from adapters.snapshots.format import Document
from adapters.snapshots.store import SET_ASIDE, FileSnapshotStore, SnapshotFile
from fleetpulse.errors import ConfigError, DamagedState
from fleetpulse.snapshot import PartitionSnapshot

_READ_AT_ONCE: Final = 1024
"""Devices whose states are read for their checksums together."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One stored generation. problem: why it cannot be used; empty: it can."""

    partition: int
    next_offset: int
    written_at_s: float
    format_version: int
    result_version: int
    devices: int
    active: int
    profiles: dict[str, int]
    """Devices by profile revision."""
    bytes: int
    """Of the manifest and of the states that it names."""
    problem: str


def inspect(store: FileSnapshotStore, each: SnapshotFile, *, thorough: bool) -> Generation:
    """thorough: also every device's state is read, and its checksum verified."""
    try:
        document = store.document(each)
    except DamagedState as damage:
        return _generation(each, None, None, str(damage))
    snapshot, problem = None, ""
    try:
        snapshot = store.opened(document)
        if thorough:
            _read_all(store, snapshot)
    except DamagedState as damage:
        problem = str(damage)
    return _generation(each, document, snapshot, problem)


def put_back(store: FileSnapshotStore, files: Files, each: SnapshotFile) -> list[SnapshotFile]:
    """Make a generation the newest of its partition: those above it are set aside for a day.

    Raises ConfigError when it is not whole.
    """
    found = inspect(store, each, thorough=True)
    if found.problem:
        raise ConfigError(f"{each.file.name} cannot be used: {found.problem}")
    above = [other for other in store.ls(each.partition) if other.next_offset > each.next_offset]
    for other in above:
        files.write(f"{other.file.name}{SET_ASIDE}", files.read(other.file.name))
        files.remove(other.file.name)
    return above


def copy_in(source: Files, target: Files, store: FileSnapshotStore, each: SnapshotFile) -> None:
    """Copy a generation of another store with the segments that it names."""
    document = store.document(each)
    for segment in manifest.listed(document):
        target.write(segment.name, source.read(segment.name))
    target.write(each.file.name, source.read(each.file.name))


def chosen(
    store: FileSnapshotStore, partitions: Sequence[int] | None, next_offset: int | None
) -> list[SnapshotFile]:
    """Of each partition the generation at that offset, or the newest; raises ConfigError."""
    found: dict[int, SnapshotFile] = {}
    for each in store.ls():
        if partitions is not None and each.partition not in partitions:
            continue
        if next_offset is None or each.next_offset == next_offset:
            found.setdefault(each.partition, each)
    missing = sorted(set(partitions or []) - found.keys())
    if missing or not found:
        what = "no generation" if next_offset is None else f"no generation at offset {next_offset}"
        raise ConfigError(f"{what} of partitions {missing}" if missing else what)
    return list(found.values())


def _read_all(store: FileSnapshotStore, snapshot: PartitionSnapshot) -> None:
    for states in snapshot.cohorts:
        if len(states.inline):
            continue  # format 1: the file's own checksum covers them
        order = np.argsort(states.blobs, order=("segment", "position"))
        for begin in range(0, len(order), _READ_AT_ONCE):
            store.read(states.profile, states.blobs[order[begin : begin + _READ_AT_ONCE]])


def _generation(
    each: SnapshotFile, document: Document | None, snapshot: PartitionSnapshot | None, problem: str
) -> Generation:
    cohorts = snapshot.cohorts if snapshot else []
    return Generation(
        partition=each.partition,
        next_offset=each.next_offset,
        written_at_s=each.file.written_at_s,
        format_version=document.version if document else 0,
        result_version=document.result_version if document else 0,
        devices=sum(len(states.keys) for states in cohorts),
        active=sum(int(states.active.sum()) for states in cohorts),
        profiles={states.profile.ref: len(states.keys) for states in cohorts},
        bytes=each.file.size_bytes + sum(int(states.blobs["length"].sum()) for states in cohorts),
        problem=problem,
    )
