"""What our own Ray's raylet starts instead of a worker: asks the fork server for it, and ends.

Arguments: the fork server's socket, Ray's script that sets a worker up, and the worker's command. A
worker of another job than the stack's, or with a runtime environment, is not the fork server's:
this process becomes one in Ray's own way. Standard library only, because each start of a worker
pays for it. Exits with 1 if no worker came.
"""

import json
import os
import socket
import sys
from typing import Final

JOB: Final = "01000000"
"""Of the first driver of a cluster, which is the stack's."""
SETUP_ENVIRONMENT: Final = "--serialized-runtime-env-context="
LENGTH_BYTES: Final = 4
"""Of what goes ahead of the request, with the descriptors."""
_TIMEOUT_S: Final = 30.0


def has_environment(command: list[str]) -> bool:
    """Whether Ray has something to set up before this worker."""
    told = [each for each in command if each.startswith(SETUP_ENVIRONMENT)]
    return any(json.loads(each.removeprefix(SETUP_ENVIRONMENT) or "{}") for each in told)


def main(address: str, command: list[str]) -> int:
    """Returns when the worker has begun."""
    request = json.dumps({"command": command, "environment": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(_TIMEOUT_S)
        server.connect(address)
        socket.send_fds(server, [len(request).to_bytes(LENGTH_BYTES, "big")], [0, 1, 2])
        server.sendall(request)
        return 0 if server.recv(1) else 1


if __name__ == "__main__":
    _, server_address, setup, *worker = sys.argv
    if os.environ.get("RAY_JOB_ID") != JOB or has_environment(worker):
        os.execv(sys.executable, [sys.executable, setup, *worker])
    sys.exit(main(server_address, worker))
