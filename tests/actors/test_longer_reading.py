"""How far back a worker reads: as far as what it finds needs, where the log reaches back."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from actors.support import Support
from adapters.kafka.range_reader import RangeReader
from adapters.postgres.blackboard import Blackboard
from fleetpulse.identity import CONTROL_KEY, DeviceKey, partition_of
from fleetpulse.ports import RecordBatch
from fleetpulse.profile import AlertRule, Profile, SessionSpec
from fleetpulse.recompute.correction import Correction
from fleetpulse.recompute.job import Cause, Claimed
from fleetpulse.recompute.ranges import DAY_US, TimeRange, left_out
from fleetpulse.settings import KafkaSettings, Settings
from fleetpulse.wire import encode_block
from tests.core.logs import PARTITIONS, T0_US, Log
from tests.core.repairs import FakeModel
from tests.core.test_sessions import PUMP

HOUR_US = 3_600_000_000
KEY = DeviceKey("default", "m").encode()
PARTITION = partition_of(KEY, PARTITIONS)
MIDNIGHT_US = T0_US // DAY_US * DAY_US + 10 * DAY_US
"""Of the day that is computed anew; hours count from it."""


class KeptLog(RangeReader):
    """A partition in memory, of which retention may have taken the beginning."""

    def __init__(self, log: Log) -> None:
        whole = log.batch()
        self._whole = whole.take(np.flatnonzero(whole.partitions == PARTITION))
        self._first = 0
        self.read_from: list[int] = []
        """Where each reading of more than a record began."""

    def keep_from(self, hour: float) -> None:
        self._first = self.offset_at(PARTITION, at_us(hour))

    def bounds(self, partition: int) -> tuple[int, int]:
        return self._first, len(self._whole)

    def offset_at(self, partition: int, log_time_us: int) -> int:
        found = int(np.searchsorted(self._whole.log_time_us, log_time_us))
        return max(self._first, found)

    def time_at(self, partition: int, offset: int) -> int:
        return int(self._whole.log_time_us[offset])

    def read(self, partition: int, begin: int, end: int) -> Iterator[RecordBatch]:
        self.read_from.append(begin)
        yield self._whole.slice(begin, end)

    def controls(self, until_us: int) -> list[bytes]:
        whole = self._whole
        rows = zip(whole.keys, whole.values, whole.log_time_us.tolist(), strict=True)
        return [value for key, value, time_us in rows if key == CONTROL_KEY and time_us < until_us]


class Board(Blackboard):
    """Knows since when a session of live's goes on, and nothing else."""

    def __init__(self, begin_us: int | None = None) -> None:
        self._begin_us = begin_us

    def session_begin(self, job: Claimed, profile: Profile | None) -> int | None:
        return self._begin_us

    def heard_before(self, jobs: Sequence[Claimed], log_time_us: int) -> frozenset[bytes]:
        return frozenset()


def at_us(hour: float) -> int:
    return MIDNIGHT_US + round(hour * HOUR_US)


def send(log: Log, hour: float, value: float, *, late_h: float = 0) -> None:
    """Two seconds of one value, from the hour on."""
    block = encode_block(
        np.full((4, 2), value, np.float32), t0_us=at_us(hour), period_ns=PUMP.period_ns
    )
    log.device("m", block, at_us(hour + late_h))


def every_four_hours(from_hour: int, first_active: int) -> Log:
    """Two active seconds in each four hours, and at last a profile whose sessions bridge that."""
    log = Log()
    log.profile(PUMP)
    for hour in range(from_hour, 24, 4):
        send(log, hour, 2 if hour >= first_active else 0)
    spec = SessionSpec(channel="a", above=1, gap_s=5 * 3600)
    log.profile(PUMP.model_copy(update={"revision": 2, "session": spec}), log_time_us=at_us(21))
    send(log, 22, 2)
    return log


def computed(
    log: RangeReader, hours: tuple[float, float], cause: Cause, board: Board
) -> Correction:
    settings = Settings(kafka=KafkaSettings(partitions=PARTITIONS))
    worker = Support(settings, board, log, FakeModel(), "t")
    changed = TimeRange(at_us(hours[0]), at_us(hours[1]))
    job = Claimed(1, "default", "m", PARTITION, changed, cause, 1, 1, 0, 0, 0, 0)
    return worker.compute([job], log.bounds(PARTITION)[1])[KEY]


def starts(found: Correction) -> list[float]:
    return [(each.started_at_us - MIDNIGHT_US) / HOUR_US for each in found.sessions.sessions]


@pytest.mark.parametrize(
    ("first_active", "readings"), [(8, 1), (-12, 2), (-60, 3), (-140, 4)], ids=str
)
def test_a_session_that_began_before_the_reading_is_read_from_its_start(
    first_active: int, readings: int
) -> None:
    log = KeptLog(every_four_hours(-240, first_active))
    found = computed(log, (8.5, 9), "profile", Board(at_us(8)))
    assert starts(found) == [first_active]
    assert len(set(log.read_from)) == readings
    assert min(log.read_from) > 0, "not all of the log"


def test_what_retention_has_taken_ends_the_search() -> None:
    log = KeptLog(every_four_hours(-240, -236))
    log.keep_from(-30)
    found = computed(log, (8.5, 9), "profile", Board(at_us(8)))
    assert starts(found) == []
    assert found.sessions.started_from_us > at_us(22), "live's sessions stay"
    assert not found.sessions.runs
    assert len(set(log.read_from)) == 3, "up to the first record that is left, and once"


@pytest.mark.parametrize(
    ("kept_from", "how_much"), [(-30, "nothing"), (-0.5, "a part"), (7.2, "a part"), (15, "all")]
)
def test_what_retention_has_taken_of_a_range_is_known(kept_from: float, how_much: str) -> None:
    log = Log()
    log.profile(PUMP)
    for quarter in range(-400, 88):
        send(log, quarter / 4, 0)
    kept = KeptLog(log)
    kept.keep_from(kept_from)
    found = computed(kept, (8, 9), "person", Board())
    assert left_out(TimeRange(at_us(8), at_us(9)), found.exact_from_us) == how_much


def test_the_profile_under_which_the_reading_begins_decides_how_much_it_needs() -> None:
    first = PUMP.model_copy(update={"alert": AlertRule(threshold=0.5, dedup_s=7200)})
    log = Log()
    log.profile(first)
    for hour in range(-96, 30, 3):
        send(log, hour, 0)
        if hour == 12:
            log.profile(PUMP.model_copy(update={"revision": 2}), log_time_us=at_us(13))
    kept = KeptLog(log)
    found = computed(kept, (6, 6.5), "late", Board())
    assert len(set(kept.read_from)) == 2
    days = [rows.bucket_us.tolist() for rows in found.rollups if rows.resolution == "day"]
    assert [MIDNIGHT_US] in days
