"""Stands in for the two agents that a raylet insists on, the dashboard's and that of runtime
environments: no part of ours asks either, and a node is up only when both have imported what they
need, which is most of its CPU time.

Started by `devstack.ray_node` with the agent's name, then what Ray would tell it. It says that it
serves nowhere, and ends with the raylet. Standard library only.
"""

import os
import sys
import time
from pathlib import Path
from typing import Final

NOWHERE: Final = {
    "dashboard_agent": {
        "metrics_agent_port": -1,
        "metrics_export_port": -1,
        "dashboard_agent_listen_port": -1,
    },
    # Who asks for a runtime environment is refused.
    "runtime_env_agent": {"runtime_env_agent_port": 1},
}
"""What the raylet waits for, by agent: a file with each of these ports."""
_LOOK_S: Final = 0.5


def main(agent: str, told: dict[str, str]) -> None:
    """Write the ports, then wait."""
    raylet = os.getppid()
    folder, node = Path(told["--session-dir"]), told["--node-id"]
    for name, port in NOWHERE[agent].items():
        ready = folder / f"{name}_{node}"
        written = ready.with_suffix(f".{agent}")
        written.write_text(str(port))
        written.replace(ready)
    while os.getppid() == raylet:
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    _, agent_name, _, *options = sys.argv
    main(agent_name, dict(option.split("=", 1) for option in options if "=" in option))
