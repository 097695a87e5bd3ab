"""The broker's part of the fence: what a member that has lost its partitions cannot commit."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import REJECTED_BYTES_MAX, producer_config
from adapters.kafka.effect_sink import KafkaEffectSink
from fleetpulse.effects import Effects, Reason, Rejection
from fleetpulse.errors import ConfigError, Fenced, RetryLater
from fleetpulse.ports import Advance, EffectSink
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


def test_a_transaction_begun_before_the_loss_cannot_be_committed_after_it(case: KafkaCase) -> None:
    zombie_sink = case.owner()
    zombie_sink.claim([0])
    zombie = case.members[-1]
    producer = Producer(
        producer_config(case.settings, client_id="zombie") | {"transactional.id": "zombie"}
    )
    producer.init_transactions(10)
    producer.begin_transaction()
    proof = zombie.membership().metadata
    producer.produce(case.settings.topic("scores"), b"", b"default/pump-1", 0)

    successor = case.owner()
    claims = successor.claim([0])
    successor.write(effects(0), {0: Advance(claims[0].owner_epoch, 0, 1)})

    position = TopicPartition(case.settings.topic("telemetry"), 0, 1)
    with pytest.raises(KafkaException) as refused:
        producer.send_offsets_to_transaction([position], proof, 10)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    producer.abort_transaction(10)
    assert case.seen() == [0], "a zombie's rows are visible"


def test_a_proof_from_a_membership_after_the_loss_does_not_help(case: KafkaCase) -> None:
    sink = case.owner()
    claims = sink.claim(range(PARTITIONS))
    zombie = case.members[-1]
    # Another member takes a share, and the zombie is a member in good standing again.
    other = Member(case.settings)
    while len(zombie.partitions) == PARTITIONS or not other.partitions:
        zombie.reader.poll(10, 0.05)
        other.reader.poll(10, 0.05)
    lost = next(iter(other.partitions))
    with pytest.raises(Fenced):
        sink.write(Effects(), {lost: Advance(claims[lost].owner_epoch, 0, 1)})
    with pytest.raises(Fenced):
        sink.claim([lost])
    other.leave()


def test_a_change_elsewhere_in_the_group_costs_only_a_retry(case: KafkaCase) -> None:
    sink = case.owner()
    claims = sink.claim(range(PARTITIONS))
    member = case.members[-1]
    stale = member.membership()
    other = Member(case.settings)
    while len(member.partitions) == PARTITIONS or not other.partitions:
        member.reader.poll(10, 0.05)
        other.reader.poll(10, 0.05)
    kept = next(iter(member.partitions))
    step = {kept: Advance(claims[kept].owner_epoch, 0, 1)}
    member.proof = stale
    for attempt in range(2):
        try:
            sink.write(effects(0, partition=kept), step)
            break
        except RetryLater:
            assert attempt == 0, "the owner was refused for good"
            member.proof = None
    other.leave()
    assert case.seen() == [0]


class Unanswered:
    """A producer whose broker dies with the commit: before it, or before it answers."""

    def __init__(self, producer: Producer, *, committed: bool) -> None:
        self._producer = producer
        self._committed = committed

    def __getattr__(self, name: str) -> object:
        return getattr(self._producer, name)

    def commit_transaction(self, timeout_s: float) -> None:
        if self._committed:
            self._producer.commit_transaction(timeout_s)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer"))


def leave_unanswered(sink: EffectSink, *, committed: bool) -> None:
    """The sink's next commit; it takes a producer of its own after that."""
    assert isinstance(sink, KafkaEffectSink)
    producer = Unanswered(sink._ready(), committed=committed)
    sink._producer = producer  # type: ignore[assignment]


def test_what_became_of_an_unanswered_commit_is_learnt(case: KafkaCase) -> None:
    sink = case.owner()
    claims = sink.claim([0, 1])
    for begin, committed in ((0, True), (1, False)):
        step = {p: Advance(claims[p].owner_epoch, begin, begin + 1) for p in (0, 1)}
        leave_unanswered(sink, committed=committed)
        with pytest.raises(RetryLater):
            sink.write(effects(begin), step)
        sink.write(effects(begin), step)
    assert case.seen() == [0, 1], "written once, and by the owner that began it"
    sink.write(effects(2), {0: Advance(claims[0].owner_epoch, 2, 3)})
    assert case.seen() == [0, 1, 2]


class Hanging(Unanswered):
    """A producer in which one call does not return before the test ends, whatever its limit."""

    def __init__(self, producer: Producer, call: str, let_go: Event) -> None:
        super().__init__(producer, committed=True)
        self._call, self._let_go = call, let_go

    def __getattr__(self, name: str) -> object:
        if name == self._call:
            return lambda *_: self._let_go.wait(60)
        return super().__getattr__(name)

    def commit_transaction(self, timeout_s: float) -> None:
        self._producer.commit_transaction(timeout_s)
        if self._call == "commit_transaction":
            self._let_go.wait(60)


def test_a_call_that_does_not_return_is_left_alone(case: KafkaCase) -> None:
    sink = case.owner()
    assert isinstance(sink, KafkaEffectSink)
    epoch = sink.claim([0])[0].owner_epoch
    let_go = Event()
    for begin, call in enumerate(("send_offsets_to_transaction", "commit_transaction")):
        step = {0: Advance(epoch, begin, begin + 1)}
        sink._transaction_timeout_s = 0.5
        sink._producer = Hanging(sink._ready(), call, let_go)  # type: ignore[assignment]
        begun_s = time.monotonic()
        with pytest.raises(RetryLater, match="does not return"):
            sink.write(effects(begin), step)
        assert time.monotonic() - begun_s < 3, "it was waited for"
        sink._transaction_timeout_s = 5
        sink.write(effects(begin), step)
    let_go.set()
    assert case.seen() == [0, 1], "the same sink has gone on, and wrote all of it once"


def test_where_another_has_gone_on_no_commit_is_repeated(
    case: KafkaCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = case.owner()
    epoch = sink.claim([0])[0].owner_epoch
    leave_unanswered(sink, committed=False)
    step = {0: Advance(epoch, 0, 1)}
    with pytest.raises(RetryLater):
        sink.write(effects(0), step)
    monkeypatch.setattr(sink, "_offsets", GoneOn())
    with pytest.raises(Fenced):
        sink.write(effects(0), step)
    assert case.seen() == []


class GoneOn:
    """Committed offsets that another owner has moved."""

    def read(self, partitions: Sequence[int], timeout_s: float) -> dict[int, int]:
        return dict.fromkeys(partitions, 7)

    def close(self) -> None:
        pass


def test_a_successor_ends_what_a_zombie_left_open(case: KafkaCase) -> None:
    zombie = case.owner()
    assert isinstance(zombie, KafkaEffectSink)
    epoch = zombie.claim([0])[0].owner_epoch
    zombie.write(effects(0), {0: Advance(epoch, 0, 1)})
    producer = zombie._ready()
    zombie._producer = StopsBeforeCommit(producer, committed=False)  # type: ignore[assignment]
    with pytest.raises(Stopped):
        zombie.write(effects(1), {0: Advance(epoch, 1, 2)})

    successor = case.owner()
    begun_s = time.monotonic()
    claim = successor.claim([0])[0]
    assert time.monotonic() - begun_s < 3, "it waited for the transaction's timeout of 5 s"
    assert claim.next_offset == 1
    successor.write(effects(1), {0: Advance(claim.owner_epoch, 1, 2)})
    assert case.seen() == [0, 1]
    with pytest.raises(Fenced):
        zombie._commit(producer, {0: Advance(epoch, 1, 2)})
    assert case.seen() == [0, 1], "a zombie's rows are visible"


class Stopped(Exception):
    """SIGSTOP, as far as the log is concerned."""


class StopsBeforeCommit(Unanswered):
    """A producer whose process stops when all but the commit is done."""

    def commit_transaction(self, timeout_s: float) -> None:
        raise Stopped


def test_a_slot_is_held_by_its_newest_sink(case: KafkaCase) -> None:
    first = case.owner()
    claims = first.claim([0])
    successor = KafkaEffectSink(
        case.settings,
        slot=case.slot(first),
        transaction_timeout_ms=5000,
        stale_after_s=60,
        membership=case.members[-1].membership,
    )
    successor.claim([0])
    with pytest.raises(Fenced):
        first.write(effects(0), {0: Advance(claims[0].owner_epoch, 0, 1)})
    successor.close()
    assert case.seen() == []


def test_the_last_commit_is_possible_while_partitions_are_given_back(case: KafkaCase) -> None:
    """The sink's own thread commits while the reader's waits for it in `revoked`."""
    sink = case.owner()
    claims = sink.claim([0])
    member = case.members[-1]
    step = {0: Advance(claims[0].owner_epoch, 0, 1)}
    with ThreadPoolExecutor(1) as thread:
        member.last_act = lambda: thread.submit(sink.write, effects(0), step).result(10)
        member.leave()
    assert case.seen() == [0], "a hand-over lost the last step"
    assert case.owner().claim([0])[0].next_offset == 1


def test_membership_answers_at_once_beside_a_polling_loop(case: KafkaCase) -> None:
    case.owner()
    member = case.members[-1]
    ended = Event()

    def loop() -> None:
        while not ended.is_set():
            member.reader.poll(100, 0.2)

    with ThreadPoolExecutor(1) as thread:
        polling = thread.submit(loop)
        try:
            answers = [member.membership() for _ in range(100)]
            member.reader.end_offset(0)
        finally:
            ended.set()
        polling.result(10)
    assert answers[-1].assignments.keys() == set(range(PARTITIONS))


def test_a_row_that_cannot_be_written_takes_its_transaction_with_it(case: KafkaCase) -> None:
    sink = case.owner()
    claims = sink.claim([0])
    poisoned = effects(0)
    value = b"x" * (REJECTED_BYTES_MAX + 1)
    poisoned.dead.append(Rejection(0, 0, 0, b"default/a", value, Reason.UNDECODABLE, ""))
    step = {0: Advance(claims[0].owner_epoch, 0, 1)}
    with pytest.raises(ConfigError):
        sink.write(poisoned, step)
    assert case.seen() == []
    sink.write(effects(0), step)
    assert case.seen() == [0]
