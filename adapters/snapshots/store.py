"""SnapshotStore on files: `partition-0007/00000000000000012345.snapshot`, named by offset, and
`partition-0007/segments/…`, which hold the device states that snapshots name.

Generations are ordered by offset, not by time of writing: a stopped shard that wakes up and
writes an old state can then never shadow or drop its successor's. Every file is written once, by
one writer, under a name of its own; so writers never share a file.
"""

import logging
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final

import numpy as np

from adapters.snapshots import format1, manifest
from adapters.snapshots.files import Files, Range, StoredFile
from adapters.snapshots.format import Document, decode, encode
from adapters.snapshots.manifest import Segment
from adapters.snapshots.savepoint_files import keep
from adapters.snapshots.segments import HEAD_BYTES, current, header_length, joined, layout_of
from adapters.snapshots.segments import decode as decode_rows
from adapters.snapshots.segments import encode as encode_rows
from fleetpulse.columns import Arrays
from fleetpulse.errors import DamagedState
from fleetpulse.profile import Profile
from fleetpulse.rings import without_history
from fleetpulse.snapshot import Blobs, DeviceStates, PartitionSnapshot

_log = logging.getLogger(__name__)
_SUFFIX: Final = ".snapshot"
_UNCLAIMED_S: Final = 3600.0
"""A segment that no generation names by then is a crashed writer's."""
SET_ASIDE: Final = ".replaced"
"""Behind the name of a generation that another was put back in place of."""
SET_ASIDE_S: Final = 24 * 3600.0
"""So long it stays, with the states that it names."""
_GAP_BYTES: Final = 32 * 1024
_RUN_BYTES_MAX: Final = 8 * 1024 * 1024
"""Blobs are read in runs: up to so much that nobody asked for between two, and so long."""
_DEAD_SHARE_MAX: Final = 0.5
_TIDY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of the blobs that one snapshot moves out of segments that are mostly dead."""


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """One stored generation."""

    partition: int
    next_offset: int
    file: StoredFile


class FileSnapshotStore:
    """Keeps the newest `generations` of each partition. Any number of threads."""

    def __init__(self, files: Files, *, generations: int) -> None:
        self._files = files
        self._generations = generations
        self._lock = Lock()
        self._segments: dict[int, Segment] = {}
        self._numbers: dict[str, int] = {}
        self._headers: dict[int, bytes] = {}
        self._copies: dict[str, int] = {}
        """Of each segment that this store wrote, the copy whose states it holds."""
        self._last = 0

    # device states

    def put(
        self, partition: int, next_offset: int, states: DeviceStates, *, copy: int
    ) -> DeviceStates:
        """One segment with the states at hand; durable when it returns."""
        if not len(states.inline):
            return states
        encoded = encode_rows(without_history(states.profile, states.rows))
        written = self._write_segment(partition, next_offset, encoded.parts, copy)
        blobs = states.blobs.copy()
        encoded.blobs["segment"] = written
        blobs[states.inline] = encoded.blobs
        return replace(states, blobs=blobs)

    def read(self, profile: Profile, blobs: Blobs) -> Arrays:
        """States of devices of one profile, in their order."""
        by_header: dict[bytes, list[tuple[int, memoryview]]] = {}
        for number in np.unique(blobs["segment"]).tolist():
            mine = np.flatnonzero(blobs["segment"] == number)
            found = by_header.setdefault(self._header(number), [])
            found += zip(mine.tolist(), self._blobs(number, blobs[mine]), strict=True)
        parts: list[Arrays] = []
        order: list[int] = []
        for header, found in by_header.items():
            rows = decode_rows(layout_of(header), [blob for _, blob in found])
            parts.append(current(profile, rows, len(found)))
            order += [index for index, _ in found]
        if len(parts) == 1 and order == sorted(order):
            return parts[0]
        back = np.argsort(np.array(order, np.int64))
        return {n: np.concatenate([part[n] for part in parts])[back] for n in parts[0]}

    # generations

    def save(self, snapshot: PartitionSnapshot) -> None:
        """Durable when it returns; drops generations beyond the bound and what only they name."""
        self._files.write(_generation(snapshot), encode(self._document(snapshot)))
        self._prune(snapshot.partition, snapshot.copy)

    def keep(self, snapshot: PartitionSnapshot, name: str) -> None:
        """Into the savepoint of that name."""
        keep(self._files, name, _generation(snapshot), self._document(snapshot))

    def load(self, partition: int) -> PartitionSnapshot | None:
        """The newest intact generation, with the states of its active devices at hand; warns about
        each torn one that it skips.
        """
        for each in self.ls(partition):
            try:
                return self._with_states(self.opened(self.document(each)))
            except (DamagedState, OSError) as error:
                _log.warning("snapshot %s is skipped: %s", each.file.name, error)
        return None

    def tidied(self, snapshot: PartitionSnapshot) -> PartitionSnapshot:
        """The same, with blobs moved out of segments of which most is dead, a bounded amount."""
        numbers = manifest.segments_of(snapshot)
        live = np.zeros(len(numbers), np.int64)
        for states in snapshot.cohorts:
            at = np.searchsorted(numbers, states.blobs["segment"])
            np.add.at(live, at, states.blobs["length"].astype(np.int64))
        sizes = np.array([self._segment(n).size_bytes for n in numbers.tolist()], np.int64)
        dead = np.flatnonzero(live < sizes * (1 - _DEAD_SHARE_MAX))
        dead = dead[np.argsort(live[dead])]
        chosen = numbers[dead[np.cumsum(live[dead]) <= _TIDY_BYTES_MAX]]
        if not len(chosen):
            return snapshot
        for number in chosen.tolist():
            # The directory may still name them when this snapshot is saved.
            name = self._segment(number).name
            if name in self._copies:
                self._copies[name] = snapshot.copy
        cohorts = [
            replace(states, blobs=self._moved(snapshot, states.blobs, chosen.tolist()))
            for states in snapshot.cohorts
        ]
        return replace(snapshot, cohorts=cohorts)

    def ls(self, partition: int | None = None) -> list[SnapshotFile]:
        """Stored generations by partition, newest first."""
        files = self._files.ls("" if partition is None else _home(partition))
        found = [
            SnapshotFile(int(home.removeprefix("partition-")), int(name[: -len(_SUFFIX)]), file)
            for file in files
            for home, _, name in [file.name.partition("/")]
            if home.startswith("partition-") and name.endswith(_SUFFIX) and "/" not in name
        ]
        return sorted(found, key=lambda each: (each.partition, -each.next_offset))

    def document(self, each: SnapshotFile) -> Document:
        """What a generation's file says; raises DamagedState."""
        return decode(self._files.read(each.file.name)[0])

    def opened(self, document: Document) -> PartitionSnapshot:
        """A generation without states at hand; raises DamagedState where a segment is not whole."""
        if document.version == 1:
            return format1.snapshot_of(document)
        listed = manifest.listed(document)
        there = {
            f.name: f.size_bytes for f in self._files.ls(f"{_home(document.partition)}/segments")
        }
        for segment in listed:
            if there.get(segment.name) != segment.size_bytes:
                raise DamagedState(f"{segment.name} is not there as it was written")
        return manifest.snapshot_of(document, [self._number(segment) for segment in listed])

    def _document(self, snapshot: PartitionSnapshot) -> Document:
        segments = {n: self._segment(n) for n in manifest.segments_of(snapshot).tolist()}
        return manifest.document_of(snapshot, segments)

    def _with_states(self, snapshot: PartitionSnapshot) -> PartitionSnapshot:
        cohorts: list[DeviceStates] = []
        for states in snapshot.cohorts:
            active = np.flatnonzero(states.active)
            if len(states.inline) or not len(active):
                cohorts.append(states)
                continue
            rows = self.read(states.profile, states.blobs[active])
            cohorts.append(replace(states, inline=active, rows=rows))
        return replace(snapshot, cohorts=cohorts)

    def _prune(self, partition: int, copy: int) -> None:
        found = self.ls(partition)
        kept, dropped = found[: self._generations], found[self._generations :]
        named = self._named(kept)
        if named is None:
            return  # what a torn generation names cannot be told
        gone = self._named(dropped) or set()
        for each in dropped:
            self._files.remove(each.file.name)
        named |= self._set_aside(partition)
        gone |= {name for name, put_of in list(self._copies.items()) if put_of < copy}
        for file in self._files.ls(f"{_home(partition)}/segments"):
            unclaimed = time.time() - file.written_at_s > _UNCLAIMED_S
            if file.name not in named and (file.name in gone or unclaimed):
                self._files.remove(file.name)
                self._forget(file.name)

    def _set_aside(self, partition: int) -> set[str]:
        """Segments of generations that were set aside lately; earlier ones are dropped."""
        found: set[str] = set()
        for file in self._files.ls(_home(partition)):
            if not file.name.endswith(SET_ASIDE):
                continue
            if time.time() - file.written_at_s > SET_ASIDE_S:
                self._files.remove(file.name)
            else:
                found |= self._named([SnapshotFile(partition, 0, file)]) or set()
        return found

    def _named(self, generations: list[SnapshotFile]) -> set[str] | None:
        try:
            documents = [self.document(each) for each in generations]
        except (DamagedState, OSError):
            return None
        return {segment.name for document in documents for segment in manifest.listed(document)}

    # segments

    def _write_segment(
        self, partition: int, next_offset: int, parts: list[bytes], copy: int
    ) -> int:
        name = f"{_home(partition)}/segments/{next_offset:020d}-{secrets.token_hex(6)}"
        self._files.write(name, parts)
        self._copies[name] = copy
        return self._number(Segment(name, sum(map(len, parts))))

    def _moved(self, snapshot: PartitionSnapshot, blobs: Blobs, chosen: list[int]) -> Blobs:
        moved = blobs.copy()
        by_header: dict[bytes, list[int]] = {}
        for number in chosen:
            by_header.setdefault(self._header(number), []).append(number)
        for header, numbers in by_header.items():
            mine = np.flatnonzero(np.isin(blobs["segment"], numbers))
            if not len(mine):
                continue
            mine = mine[np.argsort(blobs["segment"][mine], kind="stable")]
            packed = [
                bytes(blob)
                for number in np.unique(blobs["segment"][mine]).tolist()
                for blob in self._blobs(number, blobs[mine[blobs["segment"][mine] == number]])
            ]
            encoded = joined(header, packed)
            encoded.blobs["segment"] = self._write_segment(
                snapshot.partition, snapshot.next_offset, encoded.parts, snapshot.copy
            )
            moved[mine] = encoded.blobs
        return moved

    def _blobs(self, number: int, blobs: Blobs) -> Iterator[memoryview]:
        """In their order, read in runs."""
        order = np.argsort(blobs["position"])
        starts = blobs["position"][order]
        ends = starts + blobs["length"][order]
        runs: list[Range] = []
        run_of: list[int] = []
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if runs and start - sum(runs[-1]) <= _GAP_BYTES and runs[-1][1] < _RUN_BYTES_MAX:
                runs[-1] = (runs[-1][0], end - runs[-1][0])
            else:
                runs.append((start, end - start))
            run_of.append(len(runs) - 1)
        data = [memoryview(run) for run in self._files.read(self._segment(number).name, runs)]
        back = np.argsort(order)
        for at in back.tolist():
            start = int(starts[at]) - runs[run_of[at]][0]
            yield data[run_of[at]][start : start + int(ends[at] - starts[at])]

    def _header(self, number: int) -> bytes:
        header = self._headers.get(number)
        if header is None:
            name = self._segment(number).name
            length = header_length(self._files.read(name, [(0, HEAD_BYTES)])[0])
            text = bytes(self._files.read(name, [(HEAD_BYTES, length)])[0])
            with self._lock:
                # one copy of each text: there are few layouts and many segments
                header = next((h for h in set(self._headers.values()) if h == text), text)
                self._headers[number] = header
        return header

    def _segment(self, number: int) -> Segment:
        segment = self._segments.get(number)
        if segment is None:
            raise DamagedState("a segment of device states is gone")
        return segment

    def _number(self, segment: Segment) -> int:
        with self._lock:
            if segment.name not in self._numbers:
                self._last += 1
                self._numbers[segment.name] = self._last
                self._segments[self._last] = segment
            return self._numbers[segment.name]

    def _forget(self, name: str) -> None:
        with self._lock:
            self._copies.pop(name, None)
            number = self._numbers.pop(name, None)
            if number is not None:
                del self._segments[number]
                self._headers.pop(number, None)


def _generation(snapshot: PartitionSnapshot) -> str:
    return f"{_home(snapshot.partition)}/{snapshot.next_offset:020d}{_SUFFIX}"


def _home(partition: int) -> str:
    return f"partition-{partition:04d}"
