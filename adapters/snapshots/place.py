"""Where the settings put snapshots."""

from adapters.snapshots.files import Files, LocalFiles
from adapters.snapshots.s3 import S3Files
from adapters.snapshots.store import FileSnapshotStore
from fleetpulse.settings import Settings


def snapshot_files(settings: Settings) -> Files:
    """A folder, unless `snapshot.uri` names a bucket."""
    if settings.snapshot.uri is None:
        return LocalFiles(settings.snapshots)
    return S3Files(settings.snapshot.uri, endpoint=settings.snapshot.endpoint)


def snapshot_store(settings: Settings) -> FileSnapshotStore:
    """The store of a shard."""
    return FileSnapshotStore(snapshot_files(settings), generations=settings.snapshot.generations)
