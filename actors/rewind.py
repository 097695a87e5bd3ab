"""Going back to a savepoint while no shard runs: database, group offsets, snapshots, in this order.

Interrupted in between, a shard finds a sink behind its snapshot and stops the partition; doing it
again completes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.rewind import GroupOffsets
from adapters.postgres.rewind import rewind_database
from adapters.snapshots.place import snapshot_files
from adapters.snapshots.savepoints import described, put_in_place, store_of
from adapters.snapshots.store import FileSnapshotStore
from fleetpulse.errors import ConfigError
from fleetpulse.rewind import DevicePast, device_pasts, partition_past
from fleetpulse.settings import Settings
from fleetpulse.snapshot import RESULT_VERSIONS, PartitionSnapshot

READ_AT_ONCE = 1024
"""Devices whose states are held at once."""


@dataclass(frozen=True, slots=True)
class Rewound:
    """What was done. rows: deleted, by table. set_aside: later generations of snapshots."""

    savepoint: str
    offsets: dict[int, int]
    rows: dict[str, int]
    set_aside: int


def rewind(settings: Settings, name: str) -> Rewound:
    """Go back; raises ConfigError, and then nothing has changed, where that cannot be."""
    usable(settings, name, thorough=True)
    files = snapshot_files(settings)
    store = store_of(files, name)
    snapshots = [store.opened(store.document(each)) for each in store.ls()]
    topic_id = _check_log(settings, snapshots)
    offsets = {each.partition: each.next_offset for each in snapshots}
    group = GroupOffsets(settings.kafka)
    group.check_empty()
    reached = group.current()
    if any(reached.get(partition, -1) < offset for partition, offset in offsets.items()):
        raise ConfigError(f"the shards' group is behind savepoint {name}: nothing to go back from")
    if settings.postgres.dsn is None:
        raise ConfigError("FLEETPULSE_POSTGRES__DSN: which database?")
    rows = rewind_database(
        settings.postgres.dsn.get_secret_value(),
        topic_id,
        [partition_past(each) for each in snapshots],
        pasts(store, snapshots),
    )
    group.set(offsets)
    return Rewound(name, offsets, rows, put_in_place(files, name))


def usable(settings: Settings, name: str, *, thorough: bool = False) -> None:
    """Raises ConfigError unless every partition is there, of a version that this release computes.

    thorough: every device's state is read, and its checksum verified.
    """
    found = described(
        snapshot_files(settings), name, partitions=settings.kafka.partitions, thorough=thorough
    )
    if not found.offsets:
        raise ConfigError(f"there is no savepoint {name}; `fleetpulse savepoint` lists them")
    if found.problem:
        raise ConfigError(f"savepoint {name} cannot be used: {found.problem}")
    if not RESULT_VERSIONS.issuperset(found.result_versions):
        versions = ", ".join(map(str, found.result_versions))
        raise ConfigError(f"savepoint {name} has result version {versions}: use its release")


def pasts(store: FileSnapshotStore, snapshots: list[PartitionSnapshot]) -> Iterator[DevicePast]:
    """Every device of the snapshots."""
    for states in (each for snapshot in snapshots for each in snapshot.cohorts):
        for begin in range(0, len(states.keys), READ_AT_ONCE):
            at = range(begin, min(begin + READ_AT_ONCE, len(states.keys)))
            rows = store.read(states.profile, states.blobs[begin : at.stop])
            yield from device_pasts(states, at, rows)


def _check_log(settings: Settings, snapshots: list[PartitionSnapshot]) -> str:
    """The topic's id; raises ConfigError unless the log goes on where the snapshots end."""
    admin = KafkaAdmin(settings.kafka)
    topic_id, bounds = admin.topic_id(), admin.watermarks()
    for each in snapshots:
        if each.topic_id != topic_id:
            raise ConfigError("the telemetry topic was made anew since the savepoint")
        low, high = bounds[each.partition]
        if not low <= each.next_offset <= high:
            raise ConfigError(
                f"partition {each.partition}: the log holds offsets {low} to {high}, the savepoint"
                f" ends at {each.next_offset}: retention has taken what follows it"
            )
    return topic_id
