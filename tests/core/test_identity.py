"""Names of tenants and devices."""

import pytest

from fleetpulse.effects import Reason
from fleetpulse.errors import InputError
from fleetpulse.identity import DeviceKey, check_name, partition_of, phase_of
from fleetpulse.profile import AlertRule, Profile
from tests.core.logs import PARTITIONS, T0_US, Log, feed, frame, fresh_engine

PUMP = Profile(name="pump", channels=("a",), rate_hz=50, alert=AlertRule(threshold=1))
BAD = [b"", b"pump", b"/", b"t/", b"/d", b"t/d/e", b"t/d ", b"t/d\n", b"t/-d", b"t/\xc3\xa4",
       b"t/\xff", b"!what", b"t/" + b"d" * 129]  # fmt: skip


@pytest.mark.parametrize("key", BAD)
def test_what_names_no_device(key: bytes) -> None:
    with pytest.raises(InputError):
        DeviceKey.decode(key)


@pytest.mark.parametrize("key", [b"t/d", b"acme/pump-7", b"0/a.b_c:d-e", b"t/" + b"d" * 128])
def test_a_key_is_what_it_was_made_from(key: bytes) -> None:
    assert DeviceKey.decode(key).encode() == key


def test_an_error_names_the_field() -> None:
    with pytest.raises(InputError, match=r"^tenant: must not be empty"):
        check_name("tenant", "")
    with pytest.raises(InputError, match=r"^device_id: must be 1 to 128 letters"):
        check_name("device_id", "a/b")


def test_phases_lie_within_the_hop() -> None:
    phases = {phase_of(f"t/{n}".encode(), 7) for n in range(100)}
    assert phases == set(range(7))
    fixed = [phase_of(key, 128) for key in (b"default/pump-7", b"default/pump-8")]
    assert fixed == [75, 90], "a release that shifts windows changes every result"


@pytest.mark.parametrize("key", BAD)
def test_a_record_without_a_device_is_a_bad_key(key: bytes) -> None:
    log = Log()
    log.append(0, key, frame(PUMP, 0, 0, 1), T0_US)
    (rejection,) = feed(fresh_engine(), log.batch()).dead
    assert rejection.reason is Reason.BAD_KEY, "before any other reason"


def test_reasons_come_in_their_order() -> None:
    right = partition_of(b"default/d", PARTITIONS)
    log = Log()
    log.append(1 - right, b"default/d", b"", T0_US)
    log.append(right, b"default/d", b"", T0_US)
    log.profile(PUMP)
    log.append(right, b"default/d", b"", T0_US)
    log.append(1 - right, b"default/d", b"", T0_US)
    log.device("d", frame(PUMP, 0, 0, 1), T0_US)
    effects = feed(fresh_engine(), log.batch())
    by_offset = sorted((r.partition != right, r.offset, r.reason) for r in effects.dead)
    assert [reason for _, _, reason in by_offset] == [
        Reason.NO_PROFILE, Reason.UNDECODABLE, Reason.WRONG_PARTITION, Reason.WRONG_PARTITION,
    ]  # fmt: skip
    assert [seen.device_id for seen in effects.devices] == ["d"], "it begins with a refused record"
