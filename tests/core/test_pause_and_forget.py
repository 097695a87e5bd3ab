"""Paused devices stand still; deleted ones begin anew."""

from fleetpulse.effects import Effects, Reason
from fleetpulse.engine import Engine
from fleetpulse.persistence import export_partition
from fleetpulse.telemetry_pb2 import Control, Forget, Pause
from tests.core.logs import PARTITIONS, T0_US, Log, feed, frame, fresh_engine, reborn
from tests.core.test_control import pump

PROFILE = pump()


def begun(*devices: str) -> Log:
    log = Log()
    log.profile(PROFILE)
    for device in devices:
        log.device(device, frame(PROFILE, 1, 0, 15), T0_US)
    return log


def pause(log: Log, pattern: str, *, paused: bool = True) -> None:
    change = Pause(device_pattern=pattern, paused=paused)
    log.control(Control(id=f"{pattern} {len(log.keys)}", pause=change))


def forget(log: Log, device: str) -> None:
    gone = Forget(tenant="default", device_id=device)
    log.control(Control(id=f"forget {len(log.keys)}", forget=gone))


def ends(effects: Effects, device: str) -> list[int]:
    """The slots at which scored windows of a device end."""
    key = f"default/{device}".encode()
    return [
        (int(end) - T0_US) // 20_000
        for rows in effects.scores
        for name, end in zip(rows.devices, rows.window_end_us, strict=True)
        if name == key
    ]


def test_a_paused_device_stands_still_and_goes_on_where_it_was() -> None:
    log = begun("pump-1", "pump-2")
    pause(log, "pump-1")
    for device in ("pump-1", "pump-2"):
        log.device(device, frame(PROFILE, 1, 15, 15), T0_US)
    pause(log, "pump-1", paused=False)
    for device in ("pump-1", "pump-2"):
        log.device(device, frame(PROFILE, 1, 30, 10), T0_US)
    engine = fresh_engine()
    effects = feed(engine, log.batch())
    assert ends(effects, "pump-2") == [10, 20, 30, 40]
    assert ends(effects, "pump-1") == [10, 40], "the windows of the pause lack samples"
    assert [a.kind for a in effects.alerts if a.device_id == "pump-1"] == ["raised"], "still open"
    assert not effects.dead
    assert engine.paused_total == 1


def test_an_unknown_device_does_not_begin_while_it_is_paused() -> None:
    log = begun()
    pause(log, "pump-*")
    log.device("pump-1", frame(PROFILE, 1, 0, 10), T0_US)
    engine = fresh_engine()
    assert feed(engine, log.batch()).empty
    assert engine.paused_total == 1


def test_the_newest_match_decides() -> None:
    log = begun("pump-1", "pump-2")
    pause(log, "*")
    pause(log, "pump-2", paused=False)
    for device in ("pump-1", "pump-2"):
        log.device(device, frame(PROFILE, 1, 15, 5), T0_US)
    effects = feed(fresh_engine(), log.batch())
    assert ends(effects, "pump-1") == [10]
    assert ends(effects, "pump-2") == [10, 20]


def test_a_pause_survives_a_restart() -> None:
    log = begun("pump-1")
    pause(log, "pump-1")
    engine = fresh_engine()
    feed(engine, log.batch())
    engine = reborn(engine)
    at = len(log.keys)
    log.device("pump-1", frame(PROFILE, 1, 15, 15), T0_US)
    assert feed(engine, log.batch(at)).empty
    assert engine.paused_total == 1


def test_a_deleted_device_leaves_nothing_and_begins_anew() -> None:
    log = begun("pump-1", "pump-2")
    forget(log, "pump-1")
    log.device("pump-1", frame(PROFILE, 1, 15, 15), T0_US)
    effects = feed(fresh_engine(), log.batch())
    assert [(gone.tenant, gone.device_id) for gone in effects.forgotten] == [("default", "pump-1")]
    (gone,) = effects.forgotten
    assert gone.offset == log.offsets[-1] - 1, "at the record that deleted it"
    mine = [alert.kind for alert in effects.alerts if alert.device_id == "pump-1"]
    assert mine == ["raised", "cleared", "raised"], "what was open is closed there"
    assert ends(effects, "pump-1") == [10, 30], "slots 10 to 19 are of two lives"
    assert [seen.device_id for seen in effects.devices] == ["pump-1", "pump-2", "pump-1"]


def test_a_deleted_device_is_in_no_later_snapshot() -> None:
    log = begun("pump-1", "pump-2")
    forget(log, "pump-1")
    engine = fresh_engine()
    feed(engine, log.batch())
    assert held(engine) == ["default/pump-2"]


def held(engine: Engine) -> list[str]:
    found: list[str] = []
    for partition in range(PARTITIONS):
        snapshot = export_partition(engine, partition, next_offset=0, topic_id="t")
        found += [key.decode() for states in snapshot.cohorts for key in states.keys]
    return found


def test_deleting_what_nobody_knows_still_deletes_its_rows() -> None:
    log = begun()
    forget(log, "pump-9")
    effects = feed(fresh_engine(), log.batch())
    assert [gone.device_id for gone in effects.forgotten] == ["pump-9"], "once, in its partition"
    assert not effects.alerts


def test_a_name_that_no_device_can_have_is_refused() -> None:
    log = begun()
    forget(log, "no name")
    reasons = [each.reason for each in feed(fresh_engine(), log.batch()).dead]
    assert reasons == [Reason.BAD_CONTROL] * PARTITIONS
