"""Whose transaction is ended: of who wrote last and has left the group."""

from collections.abc import Sequence

import pytest

from adapters.kafka.stable_offsets import StableOffsets
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.settings import KafkaSettings


class Looks:
    """Offsets that pend at the first looks."""

    def __init__(self, pending: int) -> None:
        self.pending = pending
        self.count = 0
        self.patience_s: list[float] = []

    def read(self, partitions: Sequence[int], timeout_s: float) -> dict[int, int]:
        self.count += 1
        self.patience_s.append(timeout_s)
        if self.count <= self.pending:
            raise BrokerUnavailable("timed out")
        return dict.fromkeys(partitions, 7)

    def notes(self, partitions: Sequence[int], timeout_s: float) -> dict[int, str]:
        notes = ["plant.shard-0", "plant.shard-1", "by hand", "other.shard-2", "plant.shard-3"]
        return {each: notes[each] for each in partitions}

    def close(self) -> None:
        pass


def pending(monkeypatch: pytest.MonkeyPatch, looks: Looks) -> tuple[StableOffsets, list[str]]:
    settings = KafkaSettings(port=1024, topic_prefix="plant.")
    offsets = StableOffsets(settings, transactional_id="plant.shard-0", producer_config={})
    ended: list[str] = []
    monkeypatch.setattr(offsets, "_offsets", looks)
    monkeypatch.setattr(offsets, "_of_group", lambda *_, **__: looks)
    monkeypatch.setattr(offsets, "_members", lambda: {"plant.shard-0", "plant.shard-3"})
    monkeypatch.setattr(offsets, "_succeed", ended.append)
    return offsets, ended


def test_offsets_that_are_stable_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets, ended = pending(monkeypatch, Looks(0))
    assert offsets.read([0, 1], 10) == {0: 7, 1: 7}
    assert not ended, "a transaction was ended though none pends"


def test_what_pends_is_ended_if_its_slot_has_left_the_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offsets, ended = pending(monkeypatch, Looks(1))
    assert offsets.read(range(5), 10) == dict.fromkeys(range(5), 7)
    assert ended == ["plant.shard-1"]


def test_while_the_group_does_not_answer_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(1)
    offsets, ended = pending(monkeypatch, looks)
    monkeypatch.setattr(looks, "notes", looks.read)
    looks.pending = 2
    assert offsets.read([1], 10) == {1: 7}
    assert not ended, "offsets that nobody could read were taken for pending ones"
    assert looks.patience_s[-1] > 5, "an answer that takes long is never heard"


def test_what_never_settles_is_an_absent_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets, _ = pending(monkeypatch, Looks(1_000_000))
    with pytest.raises(BrokerUnavailable):
        offsets.read([1], 0.4)
