"""Starts that do not come to their end leave no process."""

import shutil
import signal
import subprocess
import sys
import time

import pytest

from devstack.free_ports import port_is_free
from devstack.processes import STACK_VARIABLE, marked
from devstack.state import read_state
from tests.devstack.conftest import Command

pytestmark = pytest.mark.timeout(300)

STOP_LIMIT_S = 15.0


def test_interrupted_start_leaves_nothing(fleetpulse: Command) -> None:
    process = fleetpulse.begin("up")
    deadline = time.monotonic() + 60
    state = None
    while time.monotonic() < deadline:
        state = read_state(fleetpulse.settings.data_folder)
        if state and state.phase == "starting" and len(state.parts) > 1:
            break
        time.sleep(0.05)
    assert state is not None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - began < STOP_LIMIT_S
    assert marked(STACK_VARIABLE, state.stack_id) == [], "no process is left"


def test_port_in_use_is_one_line(fleetpulse: Command) -> None:
    if shutil.which("java") is None:
        pytest.skip("this machine has no Java")
    port = fleetpulse.settings.http.port
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", "-b", "127.0.0.1", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as holder:
        try:
            _wait_for_port(port)
            said = fleetpulse.run("up", status=1)
        finally:
            holder.kill()
    assert f"port {port} is in use by python" in said.replace("\n", " ")
    assert "FLEETPULSE_HTTP__PORT" in said


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while port_is_free(port):
        assert time.monotonic() < deadline, "the port was not taken"
        time.sleep(0.05)
