"""What stands in for Ray's own processes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from devstack import idle_agent


@contextmanager
def ports_told(
    agent: str, folder: Path, script: Path = Path("agent.py")
) -> Iterator[dict[str, int]]:
    """What an agent writes for its raylet, by file; it has ended after that."""
    program = [sys.executable, "-I", "-S", idle_agent.__file__, agent, str(script), "--node-id=n1"]
    starts_it_and_waits = "import subprocess, sys; subprocess.Popen(sys.argv[1:]); sys.stdin.read()"
    raylet = subprocess.Popen(
        [
            *(sys.executable, "-c", starts_it_and_waits),
            *(*program, f"--session-dir={folder}", "--runtime-env-agent-port=0"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,  # which the agent inherits
    )
    names = {f"{name}_n1" for name in idle_agent.PORTS[agent]}
    deadline = time.monotonic() + 10
    while {each.name for each in folder.iterdir()} != names:
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.02)
    yield {name: int((folder / name).read_text()) for name in names}
    raylet.communicate(timeout=10)  # until the agent has closed it too


def test_the_idle_agent_of_the_dashboard_serves_nowhere_and_ends_with_its_raylet(
    tmp_path: Path,
) -> None:
    with ports_told("dashboard_agent", tmp_path) as ports:
        assert set(ports.values()) == {-1}


def test_the_one_for_runtime_environments_becomes_the_real_one_when_it_is_asked(
    tmp_path: Path,
) -> None:
    real = tmp_path / "agent.py"
    real.write_text("import sys; open(sys.argv[0] + '.options', 'w').write(' '.join(sys.argv[1:]))")
    folder = tmp_path / "session"
    folder.mkdir()
    with ports_told("runtime_env_agent", folder, real) as ports:
        (port,) = ports.values()
        with pytest.raises(httpx.RemoteProtocolError):  # a raylet then asks again
            httpx.post(f"http://127.0.0.1:{port}/get_or_create_runtime_env")
    options = (tmp_path / "agent.py.options").read_text()
    assert options == f"--node-id=n1 --session-dir={folder} --runtime-env-agent-port={port}"
