"""The sink without transactions: acknowledged rows, then offsets; a crash between repeats rows."""

from collections.abc import Iterator

import pytest

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.at_least_once import AtLeastOnceSink
from fleetpulse.errors import Fenced
from fleetpulse.ports import Advance
from fleetpulse.settings import KafkaSettings
from tests.contracts.cases import PARTITIONS, KafkaCase, Member, effects


@pytest.fixture
def case(kafka: KafkaSettings, request: pytest.FixtureRequest) -> Iterator[KafkaCase]:
    prefix = f"{kafka.topic_prefix}{request.node.name[:40]}."
    settings = kafka.model_copy(update={"partitions": PARTITIONS, "topic_prefix": prefix})
    KafkaAdmin(settings).create_topics()
    case = KafkaCase(settings)
    yield case
    case.close()


def owner(case: KafkaCase) -> tuple[AtLeastOnceSink, Member]:
    case.owner()
    member = case.members[-1]
    sink = AtLeastOnceSink(
        case.settings,
        slot="0",
        stale_after_s=60,
        membership=member.membership,
        commit=member.reader.commit_soon,
    )
    return sink, member


def test_offsets_follow_the_rows(case: KafkaCase) -> None:
    sink, member = owner(case)
    epoch = sink.claim([0])[0].owner_epoch
    sink.write(effects(0, 1), {0: Advance(epoch, 0, 2)})
    assert case.seen() == [0, 1]
    member.poll_until(lambda: sink._offsets.read([0], 10.0) == {0: 2})
    sink.write(effects(2), {0: Advance(epoch, 2, 3)})
    member.leave()  # what is not committed yet goes with the hand-over
    successor, _ = owner(case)
    assert successor.claim([0])[0].next_offset == 3
    for each in (sink, successor):
        each.close()


def test_another_ownership_is_refused(case: KafkaCase) -> None:
    sink, _ = owner(case)
    epoch = sink.claim([0])[0].owner_epoch
    with pytest.raises(Fenced):
        sink.write(effects(0), {0: Advance(epoch + 1, 0, 1)})
    assert case.seen() == []
    sink.close()
