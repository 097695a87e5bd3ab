"""The supervisor's watch over a shard: only one that Ray says is dead is replaced."""

from types import SimpleNamespace

import pytest
import ray
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayError

from actors import supervisor
from actors.supervisor import Shards, _Shard
from fleetpulse.settings import Settings


@pytest.fixture
def shards(monkeypatch: pytest.MonkeyPatch) -> Shards:
    monkeypatch.setattr(supervisor, "LOOK_S", 0.0)
    return Shards(Settings(), 1)


class Actor:
    """Its watches end like that, one after the other."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)
        self.begun: list[int] = []
        self.watch = SimpleNamespace(remote=lambda _: self.ends.pop(0))
        self.begin = SimpleNamespace(remote=self.begun.append)

    def shard(self) -> _Shard:
        return _Shard("device-shard-0", self, self.ends.pop(0), slot=1)


@pytest.fixture(autouse=True)
def _ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(end: Exception | None) -> None:
        if end is not None:
            raise end

    monkeypatch.setattr(ray, "get", get)


def test_one_that_cannot_be_reached_is_watched_on(shards: Shards) -> None:
    actor = Actor(None, ActorUnavailableError("connection lost", b"\0" * 16), None)
    shard = actor.shard()
    for left in (1, 0):
        shards._look_at(shard)
        assert shard.died is None, "Ray kills an actor whose handle is dropped"
        assert len(actor.ends) == left, "watched on"
    assert actor.begun == [1, 1], "told its slot again: the first word may have been lost"


OUT_OF_MEMORY = OutOfMemoryError("")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("end", [RayActorError(), OUT_OF_MEMORY])
def test_one_that_is_dead_is_seen_to_be(shards: Shards, end: RayError) -> None:
    shard = Actor(end).shard()
    shards._look_at(shard)
    assert shard.died, "Ray's account is what the log tells of its end"
