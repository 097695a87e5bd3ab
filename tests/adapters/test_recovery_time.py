"""What `fleetpulse status` says about the recovery that a broker's settings allow."""

import pytest

from adapters.kafka.recovery_time import RecoveryTime, recovery_time
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.settings import KafkaSettings


def test_own_broker_lets_a_shard_be_replaced_within_four_seconds(kafka: KafkaSettings) -> None:
    allowed = recovery_time(kafka)
    assert allowed.takeover_s == 3.5
    assert allowed.readers_wait_s(transaction_timeout_ms=4500) == 5.0
    assert allowed.remedy(replay_budget_s=2.0) is None, "nothing needs to be changed"


def test_default_broker_names_the_settings_to_change() -> None:
    remedy = RecoveryTime(45.0, 5.0, 10.0).remedy(replay_budget_s=2.0)
    assert remedy is not None
    assert "group.consumer.session.timeout.ms" in remedy


def test_absent_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.kafka.recovery_time.REQUEST_TIMEOUT_S", 0.5)
    with pytest.raises(BrokerUnavailable):
        recovery_time(KafkaSettings(bootstrap="127.0.0.1:9"))
