"""Savepoints: copies of one generation of each partition, in a folder that nothing prunes.

`savepoints/NAME/` is laid out as the snapshots' own folder and refers to nothing outside itself,
so that it can be carried elsewhere, and read by a store.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from adapters.snapshots import manifest
from adapters.snapshots.files import Files, Part, Range, StoredFile
from adapters.snapshots.format import Document, encode

FOLDER: Final = "savepoints"


class FilesBelow:
    """Files in a folder of other files."""

    def __init__(self, files: Files, folder: str) -> None:
        self._files = files
        self._folder = f"{folder}/"

    def write(self, name: str, parts: Iterable[Part]) -> None:
        """As the others do."""
        self._files.write(self._folder + name, parts)

    def read(self, name: str, ranges: Sequence[Range] | None = None) -> list[bytearray]:
        """As the others do."""
        return self._files.read(self._folder + name, ranges)

    def ls(self, folder: str) -> list[StoredFile]:
        """Names below the folder."""
        found = self._files.ls((self._folder + folder).rstrip("/"))
        return [
            StoredFile(each.name.removeprefix(self._folder), each.size_bytes, each.written_at_s)
            for each in found
        ]

    def remove(self, name: str) -> None:
        """As the others do."""
        self._files.remove(self._folder + name)


def below(files: Files, name: str) -> FilesBelow:
    """The files of a savepoint."""
    return FilesBelow(files, f"{FOLDER}/{name}")


def names(files: Files) -> list[str]:
    """Of all savepoints, whole or not."""
    return sorted({each.name.split("/")[1] for each in files.ls(FOLDER)})


def keep(files: Files, name: str, generation: str, document: Document) -> None:
    """Write a partition's generation; one that the savepoint held of the partition goes."""
    target = below(files, name)
    needed = {segment.name for segment in manifest.listed(document)}
    home = generation.partition("/")[0]
    there = {each.name for each in target.ls(home)}
    for segment in sorted(needed - there):
        target.write(segment, files.read(segment))
    # Last: what a manifest in a savepoint names is there.
    target.write(generation, encode(document))
    for former in sorted(there - needed - {generation}):
        target.remove(former)
