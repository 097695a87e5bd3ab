"""What only the PostgreSQL sinks do: schema, time partitions, order-safe rows, lost connections."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from adapters.postgres.alert_lookup import find_alert
from adapters.postgres.alert_sink import PostgresAlertSink
from adapters.postgres.migrate import MIGRATIONS, migrate
from adapters.postgres.partition_pauses import PostgresPartitionPauses
from adapters.postgres.rollup_sink import PostgresRollupSink
from fleetpulse.effects import DeviceSeen, Effects, Forgotten, Presence
from fleetpulse.errors import ConfigError, DatabaseUnavailable, Fenced
from fleetpulse.ports import Advance
from fleetpulse.settings import PostgresSettings
from tests.adapters.written import write
from tests.contracts.cases import T0_US, alert, effects, session

GONE = Forgotten(0, 2, T0_US, "default", "pump-1")


def test_migrating_again_changes_nothing(dsn: str, database: psycopg.Connection) -> None:
    assert migrate(dsn) == []


def test_a_changed_migration_is_refused(
    dsn: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    for each in MIGRATIONS.glob("*.sql"):
        (tmp_path / each.name).write_text(each.read_text() + "-- later")
    with pytest.raises(ConfigError, match="changed after it was applied"):
        migrate(dsn, folder=tmp_path)


def test_a_database_of_a_newer_release_is_refused(
    dsn: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="newer release"):
        migrate(dsn, folder=tmp_path)


def test_a_failing_migration_leaves_nothing(
    dsn: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    for each in MIGRATIONS.glob("*.sql"):
        (tmp_path / each.name).write_text(each.read_text())
    (tmp_path / "9999_broken.sql").write_text("CREATE TABLE half (a int); SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(dsn, folder=tmp_path)
    assert database.execute("SELECT to_regclass('half')").fetchone() == (None,)
    assert migrate(dsn) == [], "the database was left between two releases"


@pytest.mark.parametrize("order", [["raised", "cleared"], ["cleared", "raised"]])
def test_an_alert_is_one_row_in_whichever_order_its_events_come(
    database: psycopg.Connection, alerts: PostgresAlertSink, order: list[str]
) -> None:
    events = {"raised": alert(5), "cleared": alert(5, cleared=True)}
    write(alerts, *(Effects(alerts=[events[each]]) for each in order))
    rows = database.execute(
        "SELECT score, peak_score, extract(epoch FROM raised_at) * 1000000,"
        " extract(epoch FROM cleared_at) * 1000000 FROM alerts"
    ).fetchall()
    assert rows == [(2.0, 3.0, alert(5).raised_at_us, alert(5, cleared=True).at_us)]


def test_raised_and_cleared_may_come_in_one_write(
    database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    write(alerts, Effects(alerts=[alert(5), alert(5, cleared=True)]))
    assert database.execute("SELECT count(*), count(cleared_at) FROM alerts").fetchone() == (1, 1)


def test_a_device_keeps_its_first_sighting_and_its_newest_profile(
    database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    first = DeviceSeen(0, "default", "pump-1", "pump@1", T0_US)
    later = replace(first, profile="pump@2", first_seen_us=T0_US + 5)
    write(alerts, Effects(devices=[first, later]))
    row = database.execute(
        "SELECT profile, extract(epoch FROM first_seen) * 1000000 FROM devices"
    ).fetchone()
    assert row == ("pump@2", T0_US), "also within a batch"
    write(alerts, Effects(devices=[first]))
    row = database.execute(
        "SELECT profile, extract(epoch FROM first_seen) * 1000000 FROM devices"
    ).fetchone()
    assert row == ("pump@1", T0_US)


def presence(kind: Literal["offline", "online"], at_us: int) -> Presence:
    return Presence(0, "default", "pump-1", kind, T0_US + at_us, T0_US + at_us - 30)


def test_a_device_is_online_until_it_falls_silent_and_again_when_it_returns(
    database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    def row() -> tuple[object, ...] | None:
        return database.execute(
            "SELECT online, (extract(epoch FROM since) * 1000000)::bigint,"
            " (extract(epoch FROM heard_at) * 1000000)::bigint FROM devices"
        ).fetchone()

    seen = DeviceSeen(0, "default", "pump-1", "pump@1", T0_US)
    write(alerts, Effects(devices=[seen]))
    assert row() == (True, None, None)
    write(alerts, Effects(presences=[presence("offline", 50)]))
    assert row() == (False, T0_US + 50, T0_US + 20)
    write(alerts, Effects(devices=[replace(seen, profile="pump@2")]))
    assert row() == (False, T0_US + 50, T0_US + 20), "another profile is no sign of life"
    write(alerts, Effects(presences=[presence("online", 60), presence("offline", 70)]))
    assert row() == (False, T0_US + 70, T0_US + 40), "the newest event decides"
    write(alerts, Effects(presences=[presence("online", 80)]))
    assert row() == (True, T0_US + 80, None)


@pytest.mark.parametrize("order", [[False, True], [True, False]])
def test_a_session_is_one_row_in_whichever_order_its_events_come(
    database: psycopg.Connection, alerts: PostgresAlertSink, order: list[bool]
) -> None:
    write(alerts, *(Effects(sessions=[session(5, ended=ended)]) for ended in order))
    rows = database.execute(
        "SELECT session_id, extract(epoch FROM ended_at - started_at), channels, count, max[1],"
        " score_count, score_over FROM sessions"
    ).fetchall()
    assert rows == [(f"{5:032x}", 9, ["flow", "heat"], [7, 0], 3.0, 4, 1)]


def test_a_session_that_runs_has_no_end(
    database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    write(alerts, Effects(sessions=[session(5, ended=False)]))
    row = database.execute("SELECT ended_at, channels, score_count FROM sessions").fetchone()
    assert row == (None, None, None)


def test_live_does_not_end_a_session_that_a_recomputation_wrote(
    database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    write(alerts, Effects(sessions=[session(5, ended=False)]))
    database.execute("UPDATE sessions SET view_epoch = 1")
    write(alerts, Effects(sessions=[session(5, ended=True)]))
    assert database.execute("SELECT ended_at, view_epoch FROM sessions").fetchall() == [(None, 1)]


def test_a_failing_row_leaves_no_progress(
    database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    claim = alerts.claim([0])[0]
    poison = replace(alert(2), device_id="a\0b")
    with pytest.raises(psycopg.Error):
        alerts.write(Effects(alerts=[alert(1), poison]), {0: Advance(claim.owner_epoch, 0, 1)})
    assert database.execute("SELECT count(*) FROM alerts").fetchone() == (0,)
    assert alerts.claim([0])[0].next_offset is None


def test_a_lost_connection_is_told_and_replaced(
    database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    claim = alerts.claim([0])[0]
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'fleetpulse-alerts' AND datname = current_database()"
    )
    step = {0: Advance(claim.owner_epoch, 0, 1)}
    with pytest.raises(DatabaseUnavailable):
        alerts.write(effects(1), step)
    alerts.write(effects(1), step)
    assert database.execute("SELECT count(*) FROM alerts").fetchone() == (1,)


def test_a_stopped_owner_in_mid_write_does_not_lock_its_successor_out(
    dsn: str, database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    """Its rows are locked from the advance on; the server ends a transaction that sleeps."""
    claim = alerts.claim([0])[0]
    zombie = PostgresAlertSink(dsn, topic_id="topic")
    connection = zombie._connection = psycopg.connect(dsn, autocommit=True)
    connection.execute("SET idle_in_transaction_session_timeout = 200")
    connection.execute("BEGIN")
    zombie._advance(connection, {0: Advance(claim.owner_epoch, 0, 1)})
    assert alerts.claim([0])[0].next_offset is None, "an uncommitted step was taken for done"
    with pytest.raises(DatabaseUnavailable):
        zombie.write(Effects(), {0: Advance(claim.owner_epoch, 1, 2)})
    zombie.close()


def test_an_unmigrated_database_is_named(postgres_settings: PostgresSettings) -> None:
    assert postgres_settings.dsn is not None
    sink = PostgresAlertSink(postgres_settings.dsn.get_secret_value(), topic_id="topic")
    with pytest.raises(ConfigError, match="migrate it first"):
        sink.claim([0])
    sink.close()


def test_a_server_that_is_away_is_retried_later() -> None:
    sink = PostgresRollupSink("postgresql://nobody@127.0.0.1:1/none", topic_id="topic")
    with pytest.raises(DatabaseUnavailable):
        sink.claim([0])


def test_two_topics_do_not_share_progress(dsn: str, database: psycopg.Connection) -> None:
    old = PostgresAlertSink(dsn, topic_id="old")
    write(old, Effects())
    new = PostgresAlertSink(dsn, topic_id="new")
    assert new.claim([0])[0].next_offset is None, "a topic made anew continued the old one's"
    with pytest.raises(Fenced):
        new.write(Effects(), {0: Advance(9, 0, 1)})
    old.close()
    new.close()


def test_a_deleted_device_leaves_no_row_and_may_come_again(
    database: psycopg.Connection, alerts: PostgresAlertSink, rollups: PostgresRollupSink
) -> None:
    other = replace(effects(0).rollups[0], devices=[b"default/pump-2"])
    gone = Effects(alerts=[alert(1, cleared=True)], forgotten=[GONE])
    again = Effects(rollups=effects(9).rollups, devices=effects(9).devices)
    for sink in (alerts, rollups):
        write(sink, effects(0, 1), Effects(rollups=[other]), gone)
    for table in ("alerts", "devices"):
        assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert database.execute("SELECT DISTINCT device_id FROM rollup_minute").fetchall() == [
        ("pump-2",)
    ]
    for sink in (alerts, rollups):
        write(sink, again)
    assert database.execute("SELECT count(*) FROM devices").fetchone() == (1,)
    assert database.execute("SELECT count(*) FROM rollup_minute").fetchone() == (2,)


def test_paused_partitions_are_kept_with_their_person(
    dsn: str, database: psycopg.Connection
) -> None:
    database.execute("TRUNCATE partition_pauses")
    pauses = PostgresPartitionPauses(dsn)
    pauses.pause(3, "ada")
    pauses.pause(3, "bob")
    pauses.pause(5, "bob")
    another = PostgresPartitionPauses(dsn)
    held = another.current()
    another.close()
    assert {partition: each.paused_by for partition, each in held.items()} == {3: "ada", 5: "bob"}
    pauses.resume(3)
    pauses.resume(4)
    assert set(pauses.current()) == {5}
    pauses.resume(5)
    pauses.close()


def test_an_alert_is_found_by_its_id_alone(
    dsn: str, database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    write(alerts, Effects(alerts=[alert(5), alert(6), alert(5, cleared=True)]))
    found = find_alert(dsn, alert(5).alert_id)
    assert found is not None
    assert (found.view_epoch, found.withdrawn, found.log_offset) == (0, False, None)
    assert found.row.raised_at_us == alert(5).raised_at_us
    assert found.row.cleared_at_us == alert(5, cleared=True).at_us
    assert find_alert(dsn, "none") is None


def test_a_claim_rehearses_an_alert_and_leaves_none(
    database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    alerts.claim([0])
    alerts.claim([0])
    assert database.execute("SELECT count(*) FROM alerts").fetchone() == (0,)


def test_alerts_that_come_alone_are_refused_whole(
    database: psycopg.Connection, alerts: PostgresAlertSink
) -> None:
    epochs = {each: claim.owner_epoch for each, claim in alerts.claim([0, 1]).items()}
    steps = {0: Advance(epochs[0], 0, 5), 1: Advance(epochs[1] - 1, 0, 5)}
    with pytest.raises(Fenced) as refused:
        alerts.write(Effects(alerts=[alert(5)]), steps)
    assert refused.value.partitions == (1,)
    assert database.execute("SELECT count(*) FROM alerts").fetchone() == (0,)
    alerts.write(Effects(alerts=[alert(5)]), {0: steps[0]})
    assert database.execute("SELECT count(*) FROM alerts").fetchone() == (1,)
