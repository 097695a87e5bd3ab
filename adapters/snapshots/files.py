"""Where segments and manifests are kept: immutable files that appear whole or not at all."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fleetpulse.errors import DamagedState

Part = bytes | bytearray | memoryview
Range = tuple[int, int]
"""Position and length."""
_ABANDONED_AFTER_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file's name (with "/"), size and time of writing."""

    name: str
    size_bytes: int
    written_at_s: float


class Files(Protocol):
    """Immutable files by name; any number of threads."""

    def write(self, name: str, parts: Iterable[Part]) -> None:
        """Durable when it returns; nobody sees half of it."""

    def read(self, name: str, ranges: Sequence[Range] | None = None) -> list[bytearray]:
        """Some ranges, or one: the whole. Raises DamagedState where there is nothing."""

    def ls(self, folder: str) -> list[StoredFile]:
        """What is under a folder, at any depth."""

    def remove(self, name: str) -> None:
        """Nothing happens if there is none."""


class LocalFiles:
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, parts: Iterable[Part]) -> None:
        """File and folder are synced."""
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.parent / f".{target.name}.{os.getpid()}.tmp"
        try:
            with draft.open("wb", buffering=0) as file:
                for part in parts:
                    _write_all(file.fileno(), part)
                os.fsync(file.fileno())
            draft.rename(target)
        except BaseException:
            draft.unlink(missing_ok=True)  # or a full disk would stay full
            raise
        _sync_folder(target.parent)

    def read(self, name: str, ranges: Sequence[Range] | None = None) -> list[bytearray]:
        """By as many preads."""
        try:
            descriptor = os.open(self._folder / name, os.O_RDONLY)
        except FileNotFoundError as error:
            raise DamagedState(f"{name} is missing") from error
        try:
            wanted = ranges or [(0, os.fstat(descriptor).st_size)]
            return [_read(descriptor, position, length) for position, length in wanted]
        finally:
            os.close(descriptor)

    def ls(self, folder: str) -> list[StoredFile]:
        """Drafts that a crashed writer left behind are removed on the way."""
        found: list[StoredFile] = []
        for path in sorted((self._folder / folder).rglob("*")):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == ".tmp":
                if time.time() - state.st_mtime > _ABANDONED_AFTER_S:
                    path.unlink(missing_ok=True)
            elif path.is_file():
                name = path.relative_to(self._folder).as_posix()
                found.append(StoredFile(name, state.st_size, state.st_mtime))
        return found

    def remove(self, name: str) -> None:
        """Unlink."""
        (self._folder / name).unlink(missing_ok=True)


def _write_all(descriptor: int, part: Part) -> None:
    rest = memoryview(part)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read(descriptor: int, position: int, length: int) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        read = os.preadv(descriptor, [view], position + length - len(view))
        if not read:
            raise DamagedState("it ends early")
        view = view[read:]
    return data


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
