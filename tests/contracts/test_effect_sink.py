"""What every EffectSink must do: rows and progress together, for one owner at a time."""

from collections.abc import Iterator

import pytest

from adapters.kafka.admin import KafkaAdmin
from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.migrate import migrate
from adapters.postgres.rollup_sink import PostgresRollupSink
from fleetpulse.effects import Effects
from fleetpulse.errors import Fenced
from fleetpulse.ports import Advance, EffectSink
from fleetpulse.settings import KafkaSettings, PostgresSettings
from tests.contracts.cases import (
    PARTITIONS,
    Case,
    KafkaCase,
    MemoryCase,
    PostgresCase,
    effects,
)

ALL = range(PARTITIONS)


@pytest.fixture(scope="module")
def dsn(postgres: PostgresSettings) -> str:
    assert postgres.dsn is not None
    migrate(postgres.dsn.get_secret_value())
    return postgres.dsn.get_secret_value()


@pytest.fixture(params=["memory", "alerts", "rollups", "kafka"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    case: Case
    if request.param == "memory":
        case = MemoryCase()
    elif request.param == "alerts":
        dsn = request.getfixturevalue("dsn")
        case = PostgresCase(dsn, PostgresAlertSink, "SELECT raised_at FROM alerts")
    elif request.param == "rollups":
        dsn = request.getfixturevalue("dsn")
        case = PostgresCase(dsn, PostgresRollupSink, "SELECT bucket FROM rollup_minute")
    else:
        kafka: KafkaSettings = request.getfixturevalue("kafka")
        prefix = f"{kafka.topic_prefix}{request.node.name[:30].replace('[', '.')}."
        settings = kafka.model_copy(update={"partitions": PARTITIONS, "topic_prefix": prefix})
        KafkaAdmin(settings).create_topics()
        case = KafkaCase(settings)
    yield case
    case.close()


def step(sink: EffectSink, previous: int, following: int, *, epochs: dict[int, int]) -> None:
    """Write one number per offset of partition 0."""
    numbers = range(previous, following)
    sink.write(effects(*numbers), {0: Advance(epochs[0], previous, following)})


def claim(sink: EffectSink) -> dict[int, int]:
    return {each: claim.owner_epoch for each, claim in sink.claim(ALL).items()}


def test_a_first_owner_learns_that_the_sink_has_nothing(case: Case) -> None:
    claims = case.owner().claim(ALL)
    assert set(claims) == set(ALL)
    assert {each.next_offset for each in claims.values()} == {None}


def test_a_log_may_begin_anywhere(case: Case) -> None:
    sink = case.owner()
    epochs = claim(sink)
    step(sink, 500, 502, epochs=epochs)
    step(sink, 502, 503, epochs=epochs)
    assert case.seen() == [500, 501, 502]


def test_a_successor_learns_how_far_the_sink_is(case: Case) -> None:
    sink = case.owner()
    step(sink, 0, 3, epochs=claim(sink))
    claims = case.owner().claim(ALL)
    assert claims[0].next_offset == 3, "effects would be written twice, or never"
    assert claims[1].next_offset is None, "another partition's progress was taken"


def test_progress_without_rows_is_kept(case: Case) -> None:
    sink = case.owner()
    sink.write(Effects(), {each: Advance(epoch, 0, 7) for each, epoch in claim(sink).items()})
    claims = case.owner().claim(ALL)
    assert {each.next_offset for each in claims.values()} == {7}


def test_the_same_step_twice_is_refused_and_doubles_nothing(case: Case) -> None:
    sink = case.owner()
    epochs = claim(sink)
    step(sink, 0, 2, epochs=epochs)
    with pytest.raises(Fenced):
        step(sink, 0, 2, epochs=epochs)
    assert case.seen() == [0, 1]


def test_a_step_that_leaves_a_hole_is_refused(case: Case) -> None:
    sink = case.owner()
    epochs = claim(sink)
    step(sink, 0, 2, epochs=epochs)
    with pytest.raises(Fenced):
        step(sink, 3, 4, epochs=epochs)
    assert case.seen() == [0, 1]


def test_a_refused_partition_takes_the_whole_write_with_it(case: Case) -> None:
    sink = case.owner()
    epochs = claim(sink)
    step(sink, 0, 1, epochs=epochs)
    with pytest.raises(Fenced):
        sink.write(effects(1), {0: Advance(epochs[0], 5, 6), 1: Advance(epochs[1], 0, 1)})
    assert case.seen() == [0], "rows of a refused write are visible"
    claims = case.owner().claim(ALL)
    assert claims[0].next_offset == 1
    assert claims[1].next_offset is None, "progress of a refused write was kept"


def test_a_zombie_writes_nothing(case: Case) -> None:
    zombie = case.owner()
    epochs = claim(zombie)
    step(zombie, 0, 1, epochs=epochs)
    successor = case.owner()
    successor_epochs = claim(successor)
    with pytest.raises(Fenced):
        step(zombie, 1, 2, epochs=epochs)
    step(successor, 1, 3, epochs=successor_epochs)
    with pytest.raises(Fenced):
        step(zombie, 3, 4, epochs=epochs)
    assert case.seen() == [0, 1, 2], "a former owner's rows are visible"


def test_an_owner_that_was_refused_goes_on_after_a_new_claim(case: Case) -> None:
    sink = case.owner()
    epochs = claim(sink)
    step(sink, 0, 2, epochs=epochs)
    with pytest.raises(Fenced):
        step(sink, 7, 8, epochs=epochs)
    step(sink, 2, 3, epochs=claim(sink))
    assert case.seen() == [0, 1, 2]
