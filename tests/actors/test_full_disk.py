"""A disk that is full costs replay, and nothing else."""

import time
from typing import Any

import pytest

from actors.blob_writer import REST_S, BlobWriter
from adapters.snapshots.store import FileSnapshotStore
from fleetpulse.directory import Directory
from tests.actors.incarnations import SINKS, World
from tests.core.logs import feed, fresh_engine, per_device
from tests.core.test_cuts import disorderly_log


def test_a_shard_gives_its_partitions_up_without_a_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = disorderly_log(2)
    world = World(log, 2, failure_rate=0.0)
    monkeypatch.setattr(FileSnapshotStore, "save", _no_space)
    loop, reader, close = world.incarnation()
    for _ in range(3):
        loop.turn()
    reader.close()  # gives everything up in order
    close()
    assert not world.finished, "there is a rest for the next incarnation"
    world.run()
    expected = per_device(feed(fresh_engine(), log.batch()))
    for name in SINKS:
        assert per_device(world.tables[name].written) == expected


def test_copies_that_cannot_be_stored_are_not_made_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = disorderly_log(2)
    world = World(log, 2, failure_rate=0.0)
    world.memory_bytes = 1
    copies: list[int] = []
    take = BlobWriter.take

    def counting(self: BlobWriter, directory: Directory, partition: int, *rest: Any) -> None:
        copies.append(partition)
        take(self, directory, partition, *rest)

    monkeypatch.setattr(BlobWriter, "take", counting)
    monkeypatch.setattr(FileSnapshotStore, "put", _no_space)
    begun_s = time.monotonic()
    world.run()
    assert 1 <= len(copies) <= 1 + (time.monotonic() - begun_s) / REST_S
    expected = per_device(feed(fresh_engine(), log.batch()))
    for name in SINKS:
        assert per_device(world.tables[name].written) == expected


def _no_space(_: FileSnapshotStore, *args: object, **kwargs: object) -> None:
    raise OSError(28, "No space left on device")
