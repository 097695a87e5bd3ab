"""Stands in for the two agents that a raylet insists on, the dashboard's and that of runtime
environments: no part of ours asks either, and a node is up only when both have imported what they
need, which is most of its CPU time.

Started by `devstack.ray_node` with the agent's name, its script, and what Ray would tell it. The
dashboard's says that it serves nowhere; the other becomes what it stands in for at the first
request, which the raylet repeats. Both end with the raylet. Standard library only.
"""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

PORTS: Final = {
    "dashboard_agent": (
        "metrics_agent_port",
        "metrics_export_port",
        "dashboard_agent_listen_port",
    ),
    "runtime_env_agent": ("runtime_env_agent_port",),
}
"""What the raylet waits for, by agent: a file with each of these ports."""
_NOWHERE: Final = -1
_LOOK_S: Final = 0.5
_PORT: Final = "--runtime-env-agent-port="


class _Server(HTTPServer):
    wanted = False
    """Whether somebody has asked for a runtime environment."""


class _Door(BaseHTTPRequestHandler):
    server: _Server
    timeout = _LOOK_S  # who connects and says nothing holds nothing up

    def do_POST(self) -> None:
        self.server.wanted = True  # no answer: then the raylet asks again

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def main(agent: str, script: str, options: list[str]) -> None:
    """Write the ports, then wait."""
    raylet = os.getppid()
    told = dict(option.split("=", 1) for option in options if "=" in option)
    folder, node = Path(told["--session-dir"]), told["--node-id"]
    with _Server(("127.0.0.1", 0), _Door) as server:
        server.timeout = _LOOK_S
        asked = agent == "runtime_env_agent"
        for name in PORTS[agent]:
            _tell(folder / f"{name}_{node}", server.server_port if asked else _NOWHERE)
        while not server.wanted:
            # The folder goes at the latest when Ray starts again: the raylet may be gone before us.
            if os.getppid() != raylet or not folder.exists():
                return
            server.handle_request() if asked else time.sleep(_LOOK_S)
    port = f"{_PORT}{server.server_port}"
    others = [each for each in options if not each.startswith(_PORT)]
    os.execv(sys.executable, [sys.executable, "-u", script, *others, port])


def _tell(ready: Path, port: int) -> None:
    written = ready.with_suffix(".written")
    written.write_text(str(port))
    written.replace(ready)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
