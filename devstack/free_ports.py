"""Free TCP ports on loopback, for stacks that must not meet another one."""

import os
import socket

# Below the range of outgoing connections, which could take a port between choice and use.
_FIRST, _LAST = 20_000, 32_000
_given: set[int] = set()


def free_ports(count: int) -> int:
    """First of `count` consecutive free ports, none of which was given out before.

    Processes start their search at different ones.
    """
    for first in range(_FIRST + os.getpid() * 8 % 10_000, _LAST):
        wanted = range(first, first + count)
        if _given.isdisjoint(wanted) and all(map(port_is_free, wanted)):
            _given.update(wanted)
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
