"""What savepoints there are, and whether they are whole."""

from dataclasses import dataclass

from adapters.snapshots.files import Files
from adapters.snapshots.inspection import copy_in, inspect, put_back
from adapters.snapshots.savepoint_files import below, names
from adapters.snapshots.store import FileSnapshotStore


@dataclass(frozen=True, slots=True)
class Savepoint:
    """One savepoint. problem: why nobody can go back to it; empty: it is whole."""

    name: str
    written_at_s: float
    offsets: dict[int, int]
    """Of each partition that it has, the first record behind it."""
    result_versions: list[int]
    devices: int
    bytes: int
    """Of all its files."""
    problem: str


def savepoints(files: Files, *, partitions: int) -> list[Savepoint]:
    """All, oldest first. partitions: of the telemetry topic."""
    found = [described(files, name, partitions=partitions) for name in names(files)]
    return sorted(found, key=lambda each: each.written_at_s)


def described(files: Files, name: str, *, partitions: int, thorough: bool = False) -> Savepoint:
    """One, which may have nothing yet. thorough: every device's state is read."""
    store = store_of(files, name)
    each_file = store.ls()
    found = [inspect(store, each, thorough=thorough) for each in each_file]
    missing = sorted(set(range(partitions)) - {each.partition for each in found})
    problems = [f"partition {each.partition}: {each.problem}" for each in found if each.problem]
    if missing:
        problems.append(f"partitions {', '.join(map(str, missing))} are missing")
    return Savepoint(
        name=name,
        written_at_s=max((each.written_at_s for each in found), default=0.0),
        offsets={each.partition: each.next_offset for each in reversed(found)},
        result_versions=sorted({each.result_version for each in found}),
        devices=sum(each.devices for each in found),
        bytes=sum(each.size_bytes for each in below(files, name).ls("")),
        problem="; ".join(problems),
    )


def store_of(files: Files, name: str) -> FileSnapshotStore:
    """A savepoint's own snapshots, one of each partition."""
    return FileSnapshotStore(below(files, name), generations=1)


def put_in_place(files: Files, name: str) -> int:
    """Make a savepoint each partition's newest generation; answers how many were set aside."""
    origin, store = store_of(files, name), FileSnapshotStore(files, generations=2)
    aside = 0
    for each in origin.ls():
        copy_in(below(files, name), files, origin, each)
        aside += len(put_back(store, files, each))
    return aside
