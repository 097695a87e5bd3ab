"""A stack of the module's own, driven by the command as a person drives it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.free_ports import free_ports
from devstack.launch import environment_of
from fleetpulse.settings import HttpSettings, KafkaSettings, PostgresSettings, Settings


class Command:
    """`fleetpulse` with the settings of one stack."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def begin(self, *words: str, stderr: int = subprocess.STDOUT) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "cli.app", *words],
            env=os.environ | environment_of(self.settings),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, status: int = 0) -> str:
        process = self.begin(*words)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == status, f"`fleetpulse {' '.join(words)}` said: {said}"
        return said

    def ask(self, *words: str) -> dict[str, Any]:
        process = self.begin(*words, "--json", stderr=subprocess.PIPE)
        said, complaints = process.communicate(timeout=300)
        assert process.returncode == 0, f"`fleetpulse {' '.join(words)}` said: {said}{complaints}"
        answer: dict[str, Any] = json.loads(said)
        return answer


@pytest.fixture(scope="module")
def fleetpulse() -> Iterator[Command]:
    first = free_ports(4)
    with tempfile.TemporaryDirectory(prefix="fp-", ignore_cleanup_errors=True) as folder:
        command = Command(
            Settings(
                data_folder=Path(folder) / "data",
                kafka=KafkaSettings(port=first),
                postgres=PostgresSettings(port=first + 2),
                http=HttpSettings(port=first + 3),
            )
        )
        try:
            yield command
        finally:
            command.run("down")
