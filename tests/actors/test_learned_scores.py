"""Late data of a profile that learns, when retention has taken what live learned from."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from actors.support import Support
from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.blackboard import Blackboard
from adapters.postgres.jobs import PostgresJobs
from adapters.postgres.rollup_sink import PostgresRollupSink
from fleetpulse.effects import Effects
from fleetpulse.engine import Engine, PartitionState
from fleetpulse.ports import Advance
from fleetpulse.profile import Profile, SessionSpec, ZScoreSpec, profile_from_yaml
from fleetpulse.recompute.job import Cause, Mark
from fleetpulse.recompute.ranges import TimeRange
from fleetpulse.rerun import rerun
from fleetpulse.settings import KafkaSettings, PostgresSettings, Settings
from fleetpulse.telemetry_pb2 import DeviceEvent, Rollup
from fleetpulse.wire import encode_block
from tests.actors.test_longer_reading import PARTITION, KeptLog, at_us
from tests.core.logs import PARTITIONS, Log
from tests.core.repairs import FakeModel

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "profiles" / "nab-5min.yaml"
PROFILE = profile_from_yaml(FILE.read_text(), source=FILE.name).model_copy(
    update={"session": SessionSpec(channel="value", above=80, gap_s=1800)}
)
"""It learns for two days before it scores."""
QUICK = PROFILE.model_copy(update={"zscore": ZScoreSpec(warmup_windows=8, deviation_floor=0.1)})
BEGIN_H, KEPT_H, LATE_H = -72, -12, 5
SCORES = "score_count, score_over, score_min::text, score_max::text, score_mean::text"


class Learner:
    """A machine on two days and a half of whose past live has learned."""

    def __init__(self, dsn: str, profile: Profile = PROFILE) -> None:
        self.dsn = dsn
        self.log = Log()
        self.log.profile(profile, log_time_us=at_us(BEGIN_H))
        self._engine = Engine(PARTITIONS)
        self._engine.partitions[PARTITION] = PartitionState()
        self._done = 0
        self._sent_h: float = BEGIN_H

    def begins(self, hour: float) -> None:
        """Its first value comes then."""
        self._sent_h = hour

    def sends(self, until_h: float, *, late: bool = True) -> None:
        """A value each five minutes, but the one that is late; a fault from 3 to 12."""
        while self._sent_h < until_h:
            if self._sent_h != LATE_H or not late:
                self._send(self._sent_h, self._sent_h)
            self._sent_h = round(self._sent_h * 12 + 1) / 12

    def sends_late(self) -> None:
        self._send(LATE_H, self._sent_h)

    def live(self) -> Effects:
        """Live reads all that is new and commits it."""
        log, effects = KeptLog(self.log), Effects()
        end = log.bounds(PARTITION)[1]
        for turn in rerun(self._engine, log.read(PARTITION, self._done, end), FakeModel()):
            effects.extend(turn.effects)
        for kind in (PostgresAlertSink, PostgresRollupSink):
            sink = kind(self.dsn, topic_id="t")
            epoch = sink.claim([PARTITION])[PARTITION].owner_epoch
            sink.write(effects, {PARTITION: Advance(epoch, self._done, end)})
            sink.close()
        self._done = end
        return effects

    def recomputed(self, kept_h: float = KEPT_H, cause: Cause = "late") -> None:
        """The late value's time is computed anew, of a log that begins at `kept_h`."""
        mark = Mark("once", "default", "m", TimeRange(at_us(LATE_H), at_us(LATE_H) + 1), cause)
        asyncio.run(self._mark(mark))
        self.rows("UPDATE recompute_jobs SET due_at = now() RETURNING 1")
        log = KeptLog(self.log)
        log.keep_from(kept_h)
        board = Blackboard(self.dsn)
        settings = Settings(kafka=KafkaSettings(partitions=PARTITIONS))
        assert Support(settings, board, log, FakeModel(), "t").work() == 1
        board.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def job(self) -> tuple[Any, ...]:
        return self.rows("SELECT state, passes, error FROM recompute_jobs")[0]

    def scores(self) -> list[tuple[Any, ...]]:
        """All that scores made and people see."""
        found = [
            (table, *row)
            for table in ("rollup_minute", "rollup_hour", "rollup_day")
            for row in self.rows(
                f"SELECT bucket, {SCORES} FROM {table} WHERE NOT withheld AND score_count > 0"
                " ORDER BY bucket"
            )
        ]
        found += self.rows(f"SELECT started_at, {SCORES} FROM sessions ORDER BY started_at")
        alerts = self.rows(
            "SELECT alert_id, cleared_at, peak_score FROM alerts WHERE NOT withdrawn ORDER BY 1"
        )
        assert alerts
        return found + alerts

    def counts(self, table: str, start_h: float) -> list[tuple[int, int]]:
        """Values in a bucket that is shown, and its view epoch."""
        return self.rows(
            f"SELECT count[1], view_epoch FROM {table} WHERE NOT withheld"
            f" AND bucket = epoch_us({at_us(start_h)})"
        )

    def _send(self, hour: float, now_h: float) -> None:
        value = 90 if 3 <= hour < 12 else 50 + 5 * np.sin(hour / 24 * 2 * np.pi)
        value += 40 * (hour == LATE_H)
        block = encode_block(
            np.full((1, 1), value, np.float32), t0_us=at_us(hour), period_ns=PROFILE.period_ns
        )
        self.log.device("m", block, at_us(now_h))

    async def _mark(self, mark: Mark) -> None:
        jobs = PostgresJobs(self.dsn, partitions=PARTITIONS)
        known = await jobs.jobs("default", None, None, 1)
        if not known:
            await jobs.mark([mark])
        await jobs.close()


@pytest.fixture
def dsn(database: PostgresSettings) -> str:
    assert database.dsn is not None
    dsn = database.dsn.get_secret_value()
    clear(dsn)
    return dsn


def clear(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "TRUNCATE recompute_jobs, recompute_marks, recompute_views, recompute_outbox, progress,"
            " alerts, devices, sessions, rollup_minute, rollup_hour, rollup_day"
        )


def test_what_live_has_learned_is_not_replaced_by_what_the_rest_of_the_log_teaches(
    dsn: str,
) -> None:
    plant = Learner(dsn)
    plant.sends(25)
    plant.sends_late()
    assert len(plant.live().late) == 1
    before = plant.scores()
    plant.recomputed()
    assert plant.job() == ("promoted", 1, "")
    assert plant.counts("rollup_hour", LATE_H) == [(12, 1)], "the late value is there"
    assert plant.counts("rollup_day", 0) == [(288, 1)]
    assert plant.rows("SELECT count[1], view_epoch FROM sessions") == [(9 * 12, 1)]
    assert plant.scores() == before, "and what the scorer made of the others stays"


def test_an_open_day_is_left_to_live_with_its_scores(dsn: str) -> None:
    plant = Learner(dsn)
    plant.sends(10)
    plant.sends_late()
    plant.live()
    plant.recomputed()
    assert plant.job() == ("following", 1, "")
    assert plant.counts("rollup_hour", LATE_H) == [(12, 1)]
    assert plant.rows("SELECT withheld FROM rollup_day WHERE withheld") == []
    plant.sends(25)
    plant.live()
    assert plant.counts("rollup_day", 0) == [(287, 0)]
    before = plant.scores()
    plant.recomputed()
    assert plant.job() == ("promoted", 2, "")
    assert plant.counts("rollup_day", 0) == [(288, 2)]
    assert plant.rows("SELECT count[1], view_epoch FROM sessions") == [(9 * 12, 2)]
    assert plant.scores() == before


def test_kafka_is_told_of_the_values_alone(dsn: str) -> None:
    plant = Learner(dsn)
    plant.sends(25)
    plant.sends_late()
    plant.live()
    plant.recomputed()
    told = plant.rows("SELECT topic, value FROM recompute_outbox ORDER BY topic")
    assert [topic for topic, _ in told] == ["aggregates.minute", "aggregates.second", "events"]
    rollups = [Rollup.FromString(value) for _, value in told[:2]]
    ended = DeviceEvent.FromString(told[2][1]).session
    assert [each.score_count for each in rollups] == [0, 0]
    assert (ended.channels[0].count, ended.scores.count) == (9 * 12, 0)


def test_a_device_that_is_younger_than_the_log_is_corrected_with_its_scores(dsn: str) -> None:
    def young(*, late: bool) -> Learner:
        clear(dsn)
        plant = Learner(dsn, QUICK)
        plant.log.tick(at_us(KEPT_H))
        plant.begins(KEPT_H + 3)
        plant.sends(25, late=late)
        plant.live()
        return plant

    expected = young(late=False).scores()
    plant = young(late=True)
    before = plant.scores()
    plant.sends_late()
    plant.live()
    plant.recomputed()
    assert plant.job()[0] == "promoted"
    assert before != expected
    assert plant.scores() == expected


def test_a_profile_is_not_applied_to_the_time_in_which_it_learns(dsn: str) -> None:
    plant = Learner(dsn, QUICK)
    plant.sends(20)
    changed = PROFILE.model_copy(update={"revision": 3})
    plant.log.profile(changed, log_time_us=at_us(20))
    plant.sends(25)
    plant.live()
    before = plant.scores()
    plant.recomputed(cause="profile")
    state, passes, error = plant.job()
    assert (state, passes) == ("failed", 0)
    assert error.startswith("all of it"), "whoever asked is told"
    assert plant.scores() == before
    assert plant.rows("SELECT view_epoch FROM rollup_hour WHERE view_epoch > 0") == []
