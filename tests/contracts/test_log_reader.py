"""What every LogReader must do: explicit starts, order, and one owner per partition."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Protocol

import pytest
from confluent_kafka import Producer

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.client import producer_config
from adapters.kafka.log_reader import KafkaLogReader
from adapters.memory.log import MemoryLog, MemoryLogReader
from fleetpulse.errors import PartitionStopped
from fleetpulse.ports import AssignmentListener, LogReader
from fleetpulse.settings import KafkaSettings

PARTITIONS = 4
DEADLINE_S = 20.0


class Case(Protocol):
    """One kind of log."""

    def append(self, partition: int, key: bytes, value: bytes | None) -> None: ...

    def join(self, listener: AssignmentListener) -> LogReader: ...


class MemoryCase:
    def __init__(self) -> None:
        self._log = MemoryLog(PARTITIONS)
        self._times = count(1_700_000_000_000_000)

    def append(self, partition: int, key: bytes, value: bytes | None) -> None:
        self._log.append(partition, next(self._times), key, value or b"")

    def join(self, listener: AssignmentListener) -> LogReader:
        return MemoryLogReader(self._log, listener)


class KafkaCase:
    _numbers = count()

    def __init__(self, settings: KafkaSettings) -> None:
        prefix = f"{settings.topic_prefix}{next(self._numbers)}."
        self.settings = settings.model_copy(
            update={"topic_prefix": prefix, "partitions": PARTITIONS}
        )
        KafkaAdmin(self.settings).create_topics()
        self._producer = Producer(producer_config(self.settings, client_id="test"))

    def append(self, partition: int, key: bytes, value: bytes | None) -> None:
        self._producer.produce(self.settings.topic("telemetry"), value, key, partition)
        assert self._producer.flush(DEADLINE_S) == 0

    def join(self, listener: AssignmentListener) -> LogReader:
        return KafkaLogReader(self.settings, listener, client_id="test")


class Member:
    """A shard as a LogReader sees it: starts what it is given, remembers what it gets."""

    def __init__(self, case: Case, story: list[str], name: str, *, starts: bool = True) -> None:
        self.name = name
        self.owned: set[int] = set()
        self.next: dict[int, int] = {}
        self.got: list[tuple[int, int, bytes, bytes]] = []
        self.log_times_us: list[int] = []
        self.stopped: list[PartitionStopped] = []
        self._starts = starts
        self._story = story
        self.reader = case.join(self)

    def assigned(self, partitions: Sequence[int]) -> None:
        self._story += [f"{self.name} gets {each}" for each in sorted(partitions)]
        self.owned |= set(partitions)
        if self._starts:
            self.reader.start({each: self.next.get(each, 0) for each in partitions})

    def revoked(self, partitions: Sequence[int]) -> None:
        self._story += [f"{self.name} gives {each}" for each in sorted(partitions)]
        self.owned -= set(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self._story += [f"{self.name} loses {each}" for each in sorted(partitions)]
        self.owned -= set(partitions)

    def poll(self) -> None:
        try:
            batch = self.reader.poll(100, 0.05)
        except PartitionStopped as stopped:
            self.stopped.append(stopped)
            return
        self.got += zip(
            batch.partitions.tolist(), batch.offsets.tolist(), batch.keys, batch.values, strict=True
        )
        self.log_times_us += batch.log_time_us.tolist()

    def offsets(self, partition: int) -> list[int]:
        return [offset for at, offset, _, _ in self.got if at == partition]


@pytest.fixture(params=["memory", "kafka"])
def case(request: pytest.FixtureRequest) -> Case:
    return (
        MemoryCase() if request.param == "memory" else KafkaCase(request.getfixturevalue("kafka"))
    )


@pytest.fixture
def story() -> list[str]:
    return []


@pytest.fixture
def join(case: Case, story: list[str]) -> Iterator[Callable[..., Member]]:
    members: list[Member] = []

    def joined(name: str, *, starts: bool = True) -> Member:
        members.append(Member(case, story, name, starts=starts))
        return members[-1]

    yield joined
    for each in members:
        each.reader.close()


def until(condition: Callable[[], bool], *members: Member, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        for each in members:
            each.poll()


def fill(case: Case, records: int) -> None:
    for number in range(records):
        for partition in range(PARTITIONS):
            case.append(partition, b"default/pump", f"{partition}:{number}".encode())


Join = Callable[..., Member]


def test_each_partition_arrives_whole_and_in_order(case: Case, join: Join) -> None:
    fill(case, 5)
    member = join("a")
    until(lambda: len(member.got) >= 5 * PARTITIONS, member, what="all records")
    for partition in range(PARTITIONS):
        assert member.offsets(partition) == [0, 1, 2, 3, 4]
    assert {value for at, _, _, value in member.got if at == 2} == {b"2:%d" % n for n in range(5)}
    assert {key for _, _, key, _ in member.got} == {b"default/pump"}
    assert min(member.log_times_us) > 1_600_000_000_000_000, "log time is not in microseconds"


def test_reading_begins_exactly_where_it_is_told(case: Case, join: Join) -> None:
    fill(case, 5)
    member = join("a")
    member.next = {0: 3, 1: 5, 2: 0, 3: 4}
    until(lambda: len(member.got) >= 2 + 0 + 5 + 1, member, what="the records after the starts")
    assert [member.offsets(each) for each in range(4)] == [[3, 4], [], [0, 1, 2, 3, 4], [4]]


def test_nothing_is_read_before_the_start(case: Case, join: Join) -> None:
    fill(case, 3)
    member = join("a", starts=False)
    until(lambda: len(member.owned) == PARTITIONS, member, what="an assignment")
    for _ in range(10):
        member.poll()
    assert member.got == [], "records came from a place that nobody named"
    member.reader.start({2: 1})
    until(lambda: len(member.got) >= 2, member, what="records after a later start")
    assert member.offsets(2) == [1, 2]


def test_a_rewind_drops_what_was_fetched_ahead(case: Case, join: Join) -> None:
    fill(case, 150)
    member = join("a")
    until(lambda: len(member.offsets(1)) >= 3, member, what="the first records")
    member.got.clear()
    member.reader.start({1: 2})
    until(lambda: len(member.offsets(1)) >= 148, member, what="the records again")
    assert member.offsets(1) == list(range(2, 150)), "records from before the rewind came after it"


def test_a_paused_partition_waits_and_then_goes_on(case: Case, join: Join) -> None:
    member = join("a")
    until(lambda: len(member.owned) == PARTITIONS, member, what="an assignment")
    member.reader.pause([1])
    fill(case, 3)
    until(lambda: len(member.got) >= 3 * (PARTITIONS - 1), member, what="the other partitions")
    for _ in range(5):
        member.poll()
    assert member.offsets(1) == [], "a paused partition was read"
    ends = member.reader.end_offset
    until(lambda: ends(1) == 3, member, what="the end of a log that is not fetched")
    member.reader.resume([1])
    until(lambda: len(member.offsets(1)) >= 3, member, what="the resumed partition")
    assert member.offsets(1) == [0, 1, 2], "records were lost or doubled by the pause"


def test_a_value_may_be_absent(case: Case, join: Join) -> None:
    case.append(0, b"default/pump", None)
    member = join("a")
    until(lambda: bool(member.got), member, what="the record")
    assert member.got == [(0, 0, b"default/pump", b"")]


def test_members_share_partitions_and_give_before_another_gets(
    case: Case, join: Join, story: list[str]
) -> None:
    first = join("a")
    until(lambda: len(first.owned) == PARTITIONS, first, what="the first assignment")
    second = join("b")
    until(lambda: len(second.owned) == 2, first, second, what="a fair share")
    assert first.owned | second.owned == set(range(PARTITIONS))
    assert not first.owned & second.owned, "a partition has two owners"
    for each in second.owned:
        gives, gets = story.index(f"a gives {each}"), story.index(f"b gets {each}")
        assert gives < gets, "handed over before the former owner could commit"


def test_a_member_that_leaves_is_asked_first_and_replaced(
    case: Case, join: Join, story: list[str]
) -> None:
    first, second = join("a"), join("b")
    until(lambda: len(first.owned) == len(second.owned) == 2, first, second, what="two fair shares")
    shared = sorted(second.owned)
    second.reader.close()
    assert [f"b gives {each}" in story for each in shared] == [True, True]
    until(lambda: len(first.owned) == PARTITIONS, first, what="the rest going to who is left")


def test_an_offset_that_the_log_lacks_stops_that_partition_only(case: Case, join: Join) -> None:
    fill(case, 3)
    member = join("a")
    member.next = {2: 1000}
    until(lambda: bool(member.stopped), member, what="the stop")
    assert member.stopped[0].partition == 2
    assert member.stopped[0].remedy, "nobody is told what to do"
    until(lambda: len(member.got) >= 3 * (PARTITIONS - 1), member, what="the other partitions")
    assert len(member.stopped) == 1, "the same stop is told again and again"
    member.reader.start({2: 0})
    until(lambda: len(member.offsets(2)) >= 3, member, what="the partition after its remedy")
