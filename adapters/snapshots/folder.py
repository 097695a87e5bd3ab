"""SnapshotStore on a folder: `partition-0007/00000000000000012345.snapshot`, named by offset.

Generations are ordered by offset, not by time of writing: a stopped shard that wakes up and
writes an old state can then never shadow or drop its successor's.
"""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.snapshots.format import TornSnapshot, decode, encode
from fleetpulse.snapshot import PartitionSnapshot

_log = logging.getLogger(__name__)
_SUFFIX: Final = ".snapshot"
_ABANDONED_AFTER_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """One stored generation."""

    partition: int
    next_offset: int
    size_bytes: int
    written_at_s: float
    path: Path


class FolderSnapshotStore:
    """Keeps the newest `generations` of each partition. One writer per partition at a time."""

    def __init__(self, folder: Path, *, generations: int) -> None:
        self._folder = folder
        self._generations = generations

    def save(self, snapshot: PartitionSnapshot) -> None:
        """Durable when it returns: file and folder are synced before older ones go."""
        home = self._home(snapshot.partition)
        home.mkdir(parents=True, exist_ok=True)
        target = home / f"{snapshot.next_offset:020d}{_SUFFIX}"
        draft = home / f".{target.name}.{os.getpid()}.tmp"
        try:
            with draft.open("wb", buffering=0) as file:
                for part in encode(snapshot):
                    _write_all(file.fileno(), part)
                os.fsync(file.fileno())
            draft.rename(target)
        except BaseException:
            draft.unlink(missing_ok=True)  # or a full disk would stay full
            raise
        _sync_folder(home)
        self._prune(home)

    def load(self, partition: int) -> PartitionSnapshot | None:
        """The newest intact generation; warns about each torn one it skips."""
        for path in self._paths(self._home(partition)):
            try:
                return decode(_read(path))
            except (TornSnapshot, OSError) as error:
                _log.warning("snapshot %s is skipped: %s", path, error)
        return None

    def ls(self) -> list[SnapshotFile]:
        """Every stored generation, by partition, newest first."""
        return [
            SnapshotFile(
                int(home.name.removeprefix("partition-")),
                int(path.stem),
                path.stat().st_size,
                path.stat().st_mtime,
                path,
            )
            for home in sorted(self._folder.glob("partition-*"))
            for path in self._paths(home)
        ]

    def _home(self, partition: int) -> Path:
        return self._folder / f"partition-{partition:04d}"

    def _paths(self, home: Path) -> list[Path]:
        return sorted(home.glob(f"[0-9]*{_SUFFIX}"), reverse=True)

    def _prune(self, home: Path) -> None:
        for path in self._paths(home)[self._generations :]:
            path.unlink(missing_ok=True)
        for draft in home.glob(".*.tmp"):
            if time.time() - draft.stat().st_mtime > _ABANDONED_AFTER_S:
                draft.unlink(missing_ok=True)


def _write_all(descriptor: int, part: bytes | memoryview) -> None:
    rest = memoryview(part)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read(path: Path) -> bytearray:
    data = bytearray(path.stat().st_size)
    with path.open("rb", buffering=0) as file:
        view = memoryview(data)
        while view:
            read = file.readinto(view)
            if not read:
                raise TornSnapshot("it ends early")
            view = view[read:]
    return data


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
