"""The process that Ray's workers are forked from, with a program and workers of the test's own."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from ray._private.workers import default_worker

from devstack import fork_request

SERVER = """
import sys
from pathlib import Path
from devstack import fork_server

at = Path(sys.argv[1])

def program():
    print("ready", flush=True)
    return int(sys.stdin.readline())

sys.exit(fork_server.run(at, program))
"""
SETUP = str(Path(default_worker.__file__).with_name("setup_worker.py"))
WORKER = """
import json, os, sys
if __name__ == "__main__":
    told = {"arguments": sys.argv[1:], "asked_by": os.environ.get("ASKED_BY"), "pid": os.getpid()}
    print(json.dumps(told | {"session": os.getsid(0), "parent": os.getppid()}), flush=True)
    sys.stdin.read()
"""


@contextmanager
def serving(at: Path, *descriptors: int) -> Iterator["subprocess.Popen[str]"]:
    server = subprocess.Popen(
        [sys.executable, "-c", dedent(SERVER), str(at)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=descriptors,
    )
    assert server.stdin
    assert server.stdout
    try:
        assert server.stdout.readline() == "ready\n"
        yield server
    finally:
        if server.poll() is None:
            server.kill()
        server.communicate(timeout=10)


def ask(
    at: Path, script: Path, *arguments: str, job: str = fork_request.JOB
) -> "subprocess.Popen[str]":
    """The process that asks; what it was given the worker has too."""
    return subprocess.Popen(
        [
            sys.executable,
            "-I",
            "-S",
            fork_request.__file__,
            str(at),
            SETUP,
            str(script),
            *arguments,
        ],
        env=os.environ | {"RAY_JOB_ID": job, "ASKED_BY": "me"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "worker.py"
    path.write_text(dedent(WORKER))
    return path


def test_a_worker_is_a_fork_with_what_the_one_who_asked_has(tmp_path: Path, script: Path) -> None:
    at = tmp_path / "forks"
    with serving(at) as server:
        asking = ask(at, script, "--language=PYTHON", "--node=n1")
        assert asking.stdout
        assert asking.wait(10) == 0, "who asks ends when the worker has begun"
        told = json.loads(asking.stdout.readline())
        assert told["parent"] == server.pid
        assert told["asked_by"] == "me"
        assert told["arguments"] == ["--node=n1"], "without what is for Ray's setup of a worker"
        assert told["session"] == told["pid"]
        assert at.stat().st_mode & 0o077 == 0, "only the same user may ask"
        asking.communicate(timeout=10)  # ends the worker's input


def test_it_ends_with_its_program_and_with_the_same_status(tmp_path: Path) -> None:
    at = tmp_path / "forks"
    with serving(at) as server:
        server.communicate("7\n", timeout=10)
        assert server.returncode == 7
        assert not at.exists()


def test_a_signal_to_end_is_handed_on(tmp_path: Path) -> None:
    with serving(tmp_path / "forks") as server:
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 128 + signal.SIGTERM, "as the program ended"


@pytest.mark.parametrize("said", ["not JSON", "{}", "[]", "null", '{"command": []}'])
def test_who_asks_wrongly_gets_no_worker_and_the_next_one_does(
    said: str, tmp_path: Path, script: Path
) -> None:
    at = tmp_path / "forks"
    with serving(at):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(at))
            request = said.encode()
            length = len(request).to_bytes(fork_request.LENGTH_BYTES, "big")
            stranger.sendall(length + request)
            assert stranger.recv(1) == b"", "no worker"
        missing = ask(at, tmp_path / "no such script.py")
        nothing, errors = missing.communicate(timeout=10)
        assert nothing == ""
        assert "FileNotFoundError" in errors
        after = ask(at, script)
        assert after.wait(10) == 0
        after.communicate(timeout=10)


def test_a_worker_of_another_job_is_started_as_ray_does(tmp_path: Path, script: Path) -> None:
    at = tmp_path / "forks"
    with serving(at) as server:
        asking = ask(at, script, "--language=PYTHON", "--node=n1", job="02000000")
        said, _ = asking.communicate(timeout=20)
        told = json.loads(said)
        assert told["pid"] == asking.pid
        assert told["parent"] != server.pid
        assert told["arguments"] == ["--node=n1"]


def test_so_is_one_with_a_runtime_environment(tmp_path: Path, script: Path) -> None:
    at = tmp_path / "forks"
    with serving(at) as server:
        wanted = fork_request.SETUP_ENVIRONMENT + json.dumps({"env_vars": {"ASKED_BY": "you"}})
        asking = ask(at, script, "--language=PYTHON", wanted)
        said, _ = asking.communicate(timeout=20)
        told = json.loads(said)
        assert told["asked_by"] == "you"
        assert told["parent"] != server.pid


def test_a_worker_holds_nothing_that_the_server_had_open(tmp_path: Path, script: Path) -> None:
    at = tmp_path / "forks"
    ours, theirs = os.pipe()
    with serving(at, theirs) as server, os.fdopen(ours) as told:
        os.close(theirs)
        asking = ask(at, script)
        assert asking.wait(10) == 0
        server.communicate("0\n", timeout=10)
        assert select.select([told], [], [], 5)[0], "its end is seen while a worker lives"
        assert told.read() == ""
        asking.communicate(timeout=10)


def test_without_a_server_who_asks_fails(tmp_path: Path, script: Path) -> None:
    asking = ask(tmp_path / "nobody", script)
    asking.communicate(timeout=10)
    assert asking.returncode == 1
