"""Files in an S3 bucket, through Arrow's own client: an object appears whole or not at all."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from pyarrow import fs

from adapters.snapshots.files import Part, Range, StoredFile
from fleetpulse.errors import ConfigError, DamagedState, RetryLater

_READERS: Final = 16
"""Ranges that are fetched at once: each costs a round trip."""
_CONNECT_TIMEOUT_S: Final = 5.0
_REQUEST_TIMEOUT_S: Final = 30.0


class S3Files:
    """Objects below `s3://bucket/prefix`; credentials come from the standard environment."""

    def __init__(self, uri: str, *, endpoint: str | None) -> None:
        parts = urlsplit(uri)
        if parts.scheme != "s3" or not parts.netloc:
            raise ConfigError(f"FLEETPULSE_SNAPSHOT__URI: {uri} is not s3://bucket/prefix")
        self._root = "/".join(part for part in (parts.netloc, parts.path.strip("/")) if part)
        self._bucket = fs.S3FileSystem(
            endpoint_override=endpoint,
            connect_timeout=_CONNECT_TIMEOUT_S,
            request_timeout=_REQUEST_TIMEOUT_S,
            check_directory_existence_before_creation=True,
        )
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="s3")

    def write(self, name: str, parts: Iterable[Part]) -> None:
        """Of an upload that fails nothing is named by anything."""
        with _talking(), self._bucket.open_output_stream(self._path(name)) as stream:
            for part in parts:
                stream.write(part)

    def read(self, name: str, ranges: Sequence[Range] | None = None) -> list[bytearray]:
        """Ranges side by side."""
        with _talking(), self._bucket.open_input_file(self._path(name)) as file:
            size = file.size()
            wanted = ranges or [(0, size)]
            if any(position + length > size for position, length in wanted):
                raise DamagedState("it ends early")
            found = self._readers.map(lambda each: file.read_at(each[1], each[0]), wanted)
            return [bytearray(data) for data in found]

    def ls(self, folder: str) -> list[StoredFile]:
        """Objects, not their folders."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True, recursive=True)
        with _talking():
            infos = self._bucket.get_file_info(selector)
        prefix = len(self._root) + 1
        found = [
            StoredFile(info.path[prefix:], info.size, info.mtime.timestamp())
            for info in infos
            if info.type == fs.FileType.File
        ]
        return sorted(found, key=lambda each: each.name)

    def remove(self, name: str) -> None:
        """Delete the object."""
        with _talking(), suppress(FileNotFoundError):
            self._bucket.delete_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


@contextmanager
def _talking() -> Iterator[None]:
    """A store that is away is not a store without the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedState(f"{error.filename or error} is missing") from error
    except OSError as error:
        raise RetryLater(f"the snapshot store does not answer: {error}") from error
