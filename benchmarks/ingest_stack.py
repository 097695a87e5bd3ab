"""The stack of the ingest's benchmark, seen from the process that measures it."""

import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.child import said, start_module
from benchmarks.ingest_load import IngestLoad, LoadResult
from benchmarks.processes import ProcessWatch, Usage
from devstack import fork_server
from devstack.launch import environment_of, ray_environment
from devstack.processes import STACK_VARIABLE, end_marked
from fleetpulse.errors import SetupError
from fleetpulse.settings import Settings
from serve_apps.environment import serve_environment

_START_TIMEOUT_S: Final = 240.0
_STOP_TIMEOUT_S: Final = 30.0
_ANSWER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Phase:
    """One load, and what each process used while it ran."""

    result: LoadResult
    usages: list[Usage]

    def cpu_s(self, role: str) -> float:
        """Of all processes with this role."""
        return sum(usage.cpu_s for usage in self.usages if usage.name == role)


@dataclass(frozen=True, slots=True)
class IngestStack:
    """It runs. settings: with its ports and folder."""

    settings: Settings
    stack_id: str

    def measure(self, load: IngestLoad) -> Phase:
        """Run a load from a process of its own; raises FleetpulseError."""
        plan = self.settings.data_folder / "load.json"
        plan.write_text(json.dumps(asdict(load)))
        client = start_module(
            self.settings, "benchmarks.ingest_load", plan, stack_id=self.stack_id, told=True
        )
        assert client.stdin is not None
        assert client.stdout is not None
        # A client that hangs ends, and with it the wait for its line.
        limit = threading.Timer(load.seconds + _ANSWER_S, client.kill)
        limit.start()
        try:
            said(client, client.stdout.readline())
            watch = ProcessWatch(STACK_VARIABLE, self.stack_id)
            watch.start()
            client.stdin.write("go\n")
            client.stdin.flush()
            told = said(client, client.stdout.readline())
            usages = watch.stop()
        finally:
            limit.cancel()
            client.kill()
            client.communicate()
        return Phase(LoadResult.of(told), usages)


@contextmanager
def ingest_stack(settings: Settings) -> Iterator[IngestStack]:
    """Fresh, with these settings; raises SetupError. It leaves no process."""
    stack_id = uuid.uuid4().hex
    folder = settings.data_folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = (
        os.environ
        | environment_of(settings)
        | serve_environment(settings.http)
        | ray_environment(folder)
        | fork_server.environment()
        | {STACK_VARIABLE: stack_id}
    )
    log = (folder / "stack.log").open("wb")
    owner = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ingest_serve"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    limit = threading.Timer(_START_TIMEOUT_S, owner.kill)
    limit.start()
    try:
        line = " "
        while line and line != "ready\n":
            line = owner.stdout.readline()
        limit.cancel()
        if not line:
            raise SetupError("the stack did not start", remedy=f"see {log.name}")
        yield IngestStack(settings, stack_id)
    finally:
        limit.cancel()
        owner.stdin.close()
        try:
            owner.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            owner.kill()
        end_marked(STACK_VARIABLE, stack_id, grace_s=1.0)
        owner.wait(5)
        owner.stdout.close()
        log.close()
