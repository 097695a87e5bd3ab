"""Settings come from the environment, and an error names the variable."""

import pytest

from fleetpulse.errors import ConfigError
from fleetpulse.settings import Settings, load_settings


def test_defaults_need_no_environment() -> None:
    settings = Settings()
    assert settings.kafka.servers == "127.0.0.1:19092"
    assert settings.snapshots == settings.data_folder / "snapshots"


def test_a_variable_sets_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETPULSE_KAFKA__TOPIC_PREFIX", "acme.")
    monkeypatch.setenv("FLEETPULSE_KAFKA__BOOTSTRAP", "a:1,b:2")
    monkeypatch.setenv("FLEETPULSE_SNAPSHOT__FOLDER", "elsewhere")
    settings = load_settings()
    assert settings.kafka.topic("scores") == "acme.scores"
    assert settings.kafka.servers == "a:1,b:2"
    assert settings.snapshots.name == "elsewhere"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FLEETPULSE_KAFKA__PORT", "80"),
        ("FLEETPULSE_KAFKA__PORT", "many"),
        ("FLEETPULSE_SHARD__COUNT", "0"),
        ("FLEETPULSE_SHARD__CONT", "2"),
        ("FLEETPULSE_KAFKA__SECURITY_PROTOCOL", "plain"),
        ("FLEETPULSE_SNAPSHOT__GENERATIONS", "1"),
    ],
)
def test_an_error_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"^{variable}: "):
        load_settings()


def test_a_group_is_set_by_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETPULSE_KAFKA", "127.0.0.1:9092")
    with pytest.raises(ConfigError, match=r'"kafka".*FLEETPULSE_<GROUP>__<FIELD>'):
        load_settings()


def test_settings_cannot_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().kafka.port = 1  # type: ignore[misc]


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETPULSE_POSTGRES__DSN", "postgresql://u:hunter2@h/db")
    assert "hunter2" not in repr(load_settings())
