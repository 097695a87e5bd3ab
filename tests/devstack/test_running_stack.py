"""What a running stack shows to the machine around it."""

import ipaddress

import psutil
import pytest

from devstack.processes import STACK_VARIABLE, marked
from devstack.state import StackState, read_state
from tests.devstack.conftest import Command

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def running(fleetpulse: Command) -> StackState:
    fleetpulse.run("up")
    state = read_state(fleetpulse.settings.data_folder)
    assert state is not None
    return state


def beyond_loopback(processes: list[psutil.Process]) -> list[str]:
    found = []
    for process in processes:
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr:
                address = ipaddress.ip_address(connection.laddr.ip)
                mapped = getattr(address, "ipv4_mapped", None)
                if not (mapped or address).is_loopback:
                    found.append(f"{process.name()} {address} port {connection.laddr.port}")
    return found


def test_nothing_listens_beyond_loopback(running: StackState) -> None:
    processes = marked(STACK_VARIABLE, running.stack_id)
    names = {process.name() for process in processes}
    assert {"java", "postgres", "gcs_server", "raylet"} <= names, "all parts are looked at"
    assert beyond_loopback(processes) == []


def test_a_second_start_says_that_one_runs(fleetpulse: Command, running: StackState) -> None:
    said = fleetpulse.run("up", status=1)
    assert f"already ready in {fleetpulse.settings.data_folder} (pid {running.pid})" in said
    assert "fleetpulse down" in said


def test_secrets_and_state_are_private(fleetpulse: Command, running: StackState) -> None:
    folder = fleetpulse.settings.data_folder
    private = ("ray-token", "postgres/password", "stack.json")
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in private}
    assert modes == dict.fromkeys(private, 0o600)
