"""The demo as a newcomer sees it, in order: it runs, ctrl-C ends it, the next start carries on."""

import ipaddress
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import psutil
import pytest

from devstack.launch import ray_environment
from devstack.processes import STACK_VARIABLE, marked
from devstack.state import StackState, read_fleet, read_state
from serve_apps.environment import serve_environment
from tests.devstack.conftest import Command

pytestmark = pytest.mark.timeout(400)

START_LIMIT_S = 200.0
STOP_LIMIT_S = 15.0
RAY_AGAIN_LIMIT_S = 90.0
"""30 s on a machine that does nothing else."""


class Demo:
    """A running demo, and what it was when it was running."""

    def __init__(self, fleetpulse: Command) -> None:
        self.process = fleetpulse.begin("demo", "--devices", "10")
        self.state = self._await_ready(fleetpulse)

    def _await_ready(self, fleetpulse: Command) -> StackState:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            state = read_state(fleetpulse.settings.data_folder)
            if state and state.phase == "ready":
                return state
            assert self.process.poll() is None, f"the demo ended: {self.process.communicate()[0]}"
            time.sleep(0.1)
        raise AssertionError(f"not ready within {START_LIMIT_S:.0f} s")


@pytest.fixture(scope="module")
def demo(fleetpulse: Command) -> Iterator[Demo]:
    demo = Demo(fleetpulse)
    yield demo
    if demo.process.poll() is None:
        demo.process.send_signal(signal.SIGINT)
    demo.process.communicate(timeout=30)


def await_fleet(fleetpulse: Command, fields: str, at_least: int) -> dict[str, Any]:
    """Once the sum of that field over all shards is reached."""
    deadline = time.monotonic() + 60
    fleet: dict[str, Any] | None = None
    while time.monotonic() < deadline:
        fleet = read_fleet(fleetpulse.settings.data_folder)
        if fleet and sum(shard[fields] for shard in fleet["shards"]) >= at_least:
            return fleet
        time.sleep(0.1)
    raise AssertionError(f"{fields} did not reach {at_least}: {fleet}")


def is_raylet(process: psutil.Process) -> bool:
    return process.name() == "raylet"


def read_offsets(fleet: dict[str, Any]) -> dict[int, int]:
    parts = [part for shard in fleet["shards"] for part in shard["partitions"]]
    return {part["partition"]: part["next_offset"] for part in parts}


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


def test_samples_of_all_devices_are_scored(fleetpulse: Command, demo: Demo) -> None:
    await_fleet(fleetpulse, "devices", 10)
    await_fleet(fleetpulse, "windows_total", 10)


def test_nothing_listens_beyond_loopback(demo: Demo) -> None:
    processes = marked(STACK_VARIABLE, demo.state.stack_id)
    names = {process.name() for process in processes}
    expected = {"java", "postgres", "gcs_server", "raylet", "haproxy"}
    assert expected <= names, "all parts are looked at"
    assert beyond_loopback(processes) == []


def test_a_second_start_says_that_one_runs(fleetpulse: Command, demo: Demo) -> None:
    said = fleetpulse.run("up", status=1)
    assert f"already ready in {fleetpulse.settings.data_folder} (pid {demo.state.pid})" in said
    assert "fleetpulse down" in said


def test_secrets_and_state_are_private(fleetpulse: Command, demo: Demo) -> None:
    folder = fleetpulse.settings.data_folder
    private = ("ray-token", "postgres/password", "stack.json")
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in private}
    assert modes == dict.fromkeys(private, 0o600)


def test_status_tells_parts_shards_and_recovery(fleetpulse: Command, demo: Demo) -> None:
    status = fleetpulse.ask("status")
    assert {part["phase"] for part in status["stack"]["parts"]} == {"ready"}
    assert len(status["fleet"]["shards"]) == fleetpulse.settings.shard.count
    assert status["recovery"]["takeover_s"] == 3.5
    assert "recovery: a killed shard's partitions move within 3.5 s" in fleetpulse.run("status")


def test_a_job_of_another_driver_runs_on_the_same_ray(fleetpulse: Command, demo: Demo) -> None:
    job = """
        import os, sys, ray
        ray.init(sys.argv[1], namespace="another", log_to_driver=False)
        ask = ray.remote(lambda: os.environ["SAID"])
        said = {"env_vars": {"SAID": "with an environment of its own"}}
        print(ray.get(ask.options(runtime_env=said).remote(), timeout=60))
    """
    environment = serve_environment(fleetpulse.settings.http)
    environment |= ray_environment(fleetpulse.settings.data_folder)
    told = subprocess.run(
        [sys.executable, "-c", dedent(job), demo.state.ray_address],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert told.stdout == "with an environment of its own\n", told.stderr


def test_a_dead_ray_node_is_started_again(fleetpulse: Command, demo: Demo) -> None:
    folder = fleetpulse.settings.data_folder
    before = await_fleet(fleetpulse, "samples_total", 1)
    (raylet,) = [each for each in marked(STACK_VARIABLE, demo.state.stack_id) if is_raylet(each)]
    raylet.kill()
    deadline = time.monotonic() + RAY_AGAIN_LIMIT_S
    while True:
        fleet = read_fleet(folder)
        pids = {shard["pid"] for shard in fleet["shards"]} if fleet else set()
        if fleet and pids.isdisjoint(shard["pid"] for shard in before["shards"]):
            break
        assert time.monotonic() < deadline, "the shards did not come back"
        time.sleep(0.1)
    after = await_fleet(fleetpulse, "samples_total", 1)
    assert sum(read_offsets(after).values()) > sum(read_offsets(before).values())


def test_interrupt_ends_everything(fleetpulse: Command, demo: Demo) -> None:
    began = time.monotonic()
    os.killpg(demo.process.pid, signal.SIGINT)  # as a terminal does
    said, _ = demo.process.communicate(timeout=60)
    assert time.monotonic() - began < STOP_LIMIT_S, said
    assert demo.process.returncode == 0, said
    assert "✓ Kafka" in said, "it told what it started"
    assert "live page: http://127.0.0.1:" in said
    assert marked(STACK_VARIABLE, demo.state.stack_id) == [], "no process is left"
    state = read_state(fleetpulse.settings.data_folder)
    assert state is not None
    assert state.phase == "stopped", "every part stopped cleanly"
    assert all("Ray" in problem for problem in state.problems), "only its node was killed"


@pytest.fixture(scope="module")
def second(fleetpulse: Command) -> dict[str, Any]:
    """The next start, after the demo's owner was killed."""
    first = fleetpulse.ask("up")
    assert first["phase"] == "ready", first["problems"]
    fleet = await_fleet(fleetpulse, "devices", 10)
    offsets = read_offsets(fleet)
    assert sum(offsets.values()) > 10, "the shards stand where the demo left the log"

    psutil.Process(first["pid"]).kill()
    second = fleetpulse.ask("up")
    assert second["phase"] == "ready", second["problems"]
    assert marked(STACK_VARIABLE, first["stack_id"]) == [], "the killed owner's parts are gone"
    return second


@pytest.fixture(scope="module")
def kept(fleetpulse: Command, second: dict[str, Any]) -> dict[str, Any]:
    """A savepoint of it."""
    found: list[dict[str, Any]] = fleetpulse.ask("savepoint", "monday")["savepoints"]
    assert len(found) == 1
    return found[0]


def test_next_start_carries_on_also_after_its_owner_was_killed(
    fleetpulse: Command, second: dict[str, Any]
) -> None:
    await_fleet(fleetpulse, "devices", 10)


def test_a_savepoint_holds_every_partition(kept: dict[str, Any]) -> None:
    assert (kept["name"], kept["problem"], kept["devices"]) == ("monday", "", 10)


def test_rewind_is_refused_beside_a_running_stack(
    fleetpulse: Command, kept: dict[str, Any]
) -> None:
    assert "fleetpulse down" in fleetpulse.run("rewind", "monday", "--yes", status=2)


def test_down_ends_everything(
    fleetpulse: Command, second: dict[str, Any], kept: dict[str, Any]
) -> None:
    began = time.monotonic()
    assert fleetpulse.ask("down")["stopped"]
    assert time.monotonic() - began < STOP_LIMIT_S, "`down` keeps its promise"
    assert marked(STACK_VARIABLE, second["stack_id"]) == [], "no process is left"
    assert not fleetpulse.ask("down")["stopped"], "nothing runs any more"


def test_rewind_goes_back_to_the_savepoint(fleetpulse: Command, kept: dict[str, Any]) -> None:
    assert fleetpulse.ask("rewind", "monday", "--yes")["set_aside"] > 0
    third = fleetpulse.ask("up")
    assert third["phase"] == "ready", third["problems"]
    fleet = await_fleet(fleetpulse, "devices", 10)
    behind = {
        partition
        for partition, offset in read_offsets(fleet).items()
        if offset < kept["offsets"][str(partition)]
    }
    assert not behind, "nothing before the savepoint is computed again"
