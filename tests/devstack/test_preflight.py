"""What a machine lacks is said before anything starts, in one line that ends with the remedy."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import preflight
from devstack.free_ports import free_ports
from devstack.kafka_jars import jars_folder
from fleetpulse.settings import HttpSettings, KafkaSettings, PostgresSettings, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    port = free_ports(3)
    return Settings(
        data_folder=tmp_path / "data",
        kafka=KafkaSettings(port=port),
        postgres=PostgresSettings(port=port + 2),
        http=HttpSettings(port=free_ports(1)),
    )


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An otherwise empty PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def said(settings: Settings) -> list[str]:
    return [str(problem) for problem in preflight.missing(settings)]


@pytest.fixture
def taken(settings: Settings) -> Iterator[socket.socket]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", settings.kafka.port + 1))
        holder.listen()
        yield holder


def test_a_machine_with_everything_lacks_nothing(settings: Settings) -> None:
    if shutil.which("java") is None:
        pytest.skip("this machine has no Java")
    assert said(settings) == []


def test_missing_java_and_maven(settings: Settings, path: Path) -> None:
    java, maven = said(settings)
    assert java.startswith("Java is missing; install Java 17")
    assert maven.startswith("Maven is missing")
    assert maven.endswith("needed once")


@pytest.mark.parametrize(("version", "major"), [("11.0.22", 11), ("1.8.0_402", 8)])
def test_java_too_old(settings: Settings, path: Path, version: str, major: int) -> None:
    program(path / "java", f"echo 'openjdk version \"{version}\" 2024-01-16' >&2")
    program(path / "mvn", "true")
    (problem,) = said(settings)
    assert problem.startswith(f"Java {major} ({path / 'java'}) is too old")


def test_cached_jars_need_no_maven(settings: Settings, path: Path) -> None:
    program(path / "java", "echo 'openjdk version \"21\"' >&2")
    jars_folder().mkdir(parents=True)
    assert said(settings) == []


def test_port_in_use_names_its_setting_and_its_holder(
    settings: Settings, taken: socket.socket
) -> None:
    (problem,) = said(settings)
    assert f"port {settings.kafka.port + 1} is in use" in problem
    assert f"(pid {os.getpid()})" in problem
    assert problem.endswith("FLEETPULSE_KAFKA__PORT")


def test_an_external_broker_needs_neither_java_nor_ports(
    settings: Settings, path: Path, taken: socket.socket
) -> None:
    external = settings.kafka.model_copy(update={"bootstrap": "broker.example:9092"})
    assert said(settings.model_copy(update={"kafka": external})) == []


def test_too_little_memory(settings: Settings) -> None:
    greedy = settings.kafka.model_copy(update={"heap_mb": 10**9})
    (problem,) = said(settings.model_copy(update={"kafka": greedy}))
    assert problem.startswith("too little memory")
    assert "FLEETPULSE_KAFKA__HEAP_MB" in problem


def test_data_folder_not_writable(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (problem,) = said(settings.model_copy(update={"data_folder": tmp_path / "file" / "data"}))
    assert "is not writable" in problem
    assert problem.endswith("FLEETPULSE_DATA_FOLDER")
