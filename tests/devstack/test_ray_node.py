"""What stands in for Ray's own processes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from devstack import idle_agent


@pytest.mark.parametrize("agent", sorted(idle_agent.NOWHERE))
def test_an_idle_agent_says_that_it_serves_nowhere_and_ends_with_its_parent(
    agent: str, tmp_path: Path
) -> None:
    program = [sys.executable, "-I", "-S", idle_agent.__file__, agent, "agent.py", "--node-id=n1"]
    starts_it_and_waits = "import subprocess, sys; subprocess.Popen(sys.argv[1:]); sys.stdin.read()"
    raylet = subprocess.Popen(
        [sys.executable, "-c", starts_it_and_waits, *program, f"--session-dir={tmp_path}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,  # which the agent inherits
    )
    told = {f"{name}_n1": str(port) for name, port in idle_agent.NOWHERE[agent].items()}
    deadline = time.monotonic() + 10
    while {each.name: each.read_text() for each in tmp_path.iterdir()} != told:
        assert time.monotonic() < deadline, list(tmp_path.iterdir())
        time.sleep(0.02)
    raylet.communicate(timeout=10)  # until the agent has closed it too
