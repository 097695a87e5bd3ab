"""The supervisor's watch over a shard: only one that Ray says is dead is replaced."""

from types import SimpleNamespace

import pytest
import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from actors import supervisor
from actors.supervisor import Shards, _Shard
from fleetpulse.settings import Settings


@pytest.fixture
def shards(monkeypatch: pytest.MonkeyPatch) -> Shards:
    monkeypatch.setattr(supervisor, "LOOK_S", 0.0)
    return Shards(Settings(), 1)


def watched(*ends: Exception | None) -> tuple[_Shard, list[object]]:
    """A shard whose watches end like that, one after the other; the calls that were made."""
    calls: list[object] = list(ends)
    watch = SimpleNamespace(remote=lambda _: calls.pop(0))
    return _Shard("device-shard-0", SimpleNamespace(watch=watch), calls.pop(0)), calls


def test_one_that_cannot_be_reached_is_watched_on(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(end: Exception | None) -> None:
        if end is not None:
            raise end

    monkeypatch.setattr(ray, "get", get)
    away = ActorUnavailableError("connection lost", b"\0" * 16)
    dead = RayActorError()
    shard, calls = watched(None, away, dead)
    for left in (1, 0):
        shards._look_at(shard)
        assert not shard.died, "Ray kills an actor whose handle is dropped"
        assert len(calls) == left, "watched on"
    shards._look_at(shard)
    assert shard.died == str(dead), "Ray's account is what the log tells of its end"
