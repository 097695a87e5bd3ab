"""Stands in for the two agents that a raylet insists on, the dashboard's and that of runtime
environments: no part of ours asks either, and a node is up only when both have imported what they
need, which is most of its CPU time.

Started by `devstack.ray_node` with the agent's name, then what Ray would tell it. The dashboard's
says that it serves nowhere; the other refuses every request, for a raylet that cannot reach it ends
itself. Both end with the raylet. Standard library only.
"""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
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


class _Refusal(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(501, "the local stack has no runtime environments")

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def _port_of(agent: str) -> int:
    if agent == "dashboard_agent":
        return _NOWHERE
    server = HTTPServer(("127.0.0.1", 0), _Refusal)
    Thread(target=server.serve_forever, name="refusals", daemon=True).start()
    return server.server_port


def main(agent: str, told: dict[str, str]) -> None:
    """Write the ports, then wait."""
    raylet = os.getppid()
    folder, node = Path(told["--session-dir"]), told["--node-id"]
    port = _port_of(agent)
    for name in PORTS[agent]:
        ready = folder / f"{name}_{node}"
        written = ready.with_suffix(f".{agent}")
        written.write_text(str(port))
        written.replace(ready)
    # The folder goes at the latest when Ray starts again: the raylet may have gone before us.
    while os.getppid() == raylet and folder.exists():
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    _, agent_name, _, *options = sys.argv
    main(agent_name, dict(option.split("=", 1) for option in options if "=" in option))
