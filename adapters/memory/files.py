"""Files in memory."""

import time
from collections.abc import Iterable, Sequence

from adapters.snapshots.files import Part, Range, StoredFile
from fleetpulse.errors import DamagedState


class MemoryFiles:
    """Names and bytes."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, float]] = {}

    def write(self, name: str, parts: Iterable[Part]) -> None:
        """All at once."""
        self._files[name] = (b"".join(parts), time.time())

    def read(self, name: str, ranges: Sequence[Range] | None = None) -> list[bytearray]:
        """Copies."""
        if name not in self._files:
            raise DamagedState(f"{name} is missing")
        data = self._files[name][0]
        found = [bytearray(data[at : at + size]) for at, size in ranges or [(0, len(data))]]
        if ranges and [len(each) for each in found] != [size for _, size in ranges]:
            raise DamagedState("it ends early")
        return found

    def ls(self, folder: str) -> list[StoredFile]:
        """By name."""
        return [
            StoredFile(name, len(data), written_at_s)
            for name, (data, written_at_s) in sorted(self._files.items())
            if name.startswith(f"{folder}/" if folder else "")
        ]

    def remove(self, name: str) -> None:
        """Forget."""
        self._files.pop(name, None)
