"""Who owns a stack, told by a file that may be stale, and what every process of it inherits."""

import dataclasses
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from devstack.launch import environment_of
from devstack.processes import end_marked, marked
from devstack.state import PartState, StackState, read_state, running_stack, write_state
from fleetpulse.settings import KafkaSettings, PostgresSettings, Settings, load_settings


@pytest.fixture
def mine() -> StackState:
    """A stack that this very process owns."""
    began = psutil.Process().create_time()
    part = PartState("Kafka", "ready", "127.0.0.1:19092", 2.5)
    return StackState("a1", os.getpid(), began, "ready", parts=(part,), problems=("one",))


def test_a_state_is_read_as_it_was_written(tmp_path: Path, mine: StackState) -> None:
    assert read_state(tmp_path) is None, "no stack was ever started here"
    write_state(tmp_path, mine)
    assert read_state(tmp_path) == mine


def test_a_living_owner_is_recognised(tmp_path: Path, mine: StackState) -> None:
    write_state(tmp_path, mine)
    assert running_stack(tmp_path) == mine


def test_a_reused_pid_is_not_the_owner(tmp_path: Path, mine: StackState) -> None:
    write_state(tmp_path, dataclasses.replace(mine, started_at=mine.started_at - 60))
    assert running_stack(tmp_path) is None


def test_settings_survive_the_way_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        data_folder=Path("somewhere/else"),
        kafka=KafkaSettings(port=12345, sasl_password=SecretStr("quiet"), retention_h=0.5),
        postgres=PostgresSettings(dsn=SecretStr("postgresql://user:p%40ss@host/db")),
    )
    for variable, value in environment_of(settings).items():
        monkeypatch.setenv(variable, value)
    assert load_settings() == settings


@pytest.fixture
def family() -> Iterator[tuple[str, int]]:
    """A mark, and a marked process with a marked child that ignores polite requests."""
    mark = uuid.uuid4().hex
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], env=os.environ | {"FAMILY": mark}
    ) as process:
        yield mark, process.pid
        process.kill()


def test_all_descendants_are_found_and_ended(family: tuple[str, int]) -> None:
    mark, parent = family
    deadline = time.monotonic() + 20
    while len(found := marked("FAMILY", mark)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert parent in {process.pid for process in found}
    assert len(found) == 2, "the child inherited the mark"
    end_marked("FAMILY", mark, grace_s=0.2)
    assert marked("FAMILY", mark) == []
