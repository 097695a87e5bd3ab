"""Free TCP ports on loopback, for stacks that must not meet another one."""

import os
import socket

# Below the range of outgoing connections, which could take a port between choice and use.
_FIRST, _LAST = 20_000, 32_000


def free_ports(count: int) -> int:
    """First of `count` consecutive free ports; processes start their search at different ones."""
    for first in range(_FIRST + os.getpid() * 8 % 10_000, _LAST, count):
        if all(port_is_free(first + at) for at in range(count)):
            return first
    raise RuntimeError(f"no {count} consecutive free ports on loopback")


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
