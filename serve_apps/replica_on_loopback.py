"""Keeps a Serve replica's own gRPC door on loopback.

A replica binds it to every interface and unpickles what arrives there. Serve has no setting for
the address, so each deployment calls this before Serve binds: first thing in its constructor.
"""

from collections.abc import Callable
from typing import Any

from ray._common import tls_utils
from ray.serve._private import replica


def bind_replica_to_loopback() -> None:
    """Replace the wildcard address that this process's replica is about to bind."""
    add_port: Callable[[Any, str], int] = tls_utils.add_port_to_grpc_server

    def bind(server: Any, address: str) -> int:
        return add_port(server, address.replace("[::]", "127.0.0.1"))

    vars(replica)["add_port_to_grpc_server"] = bind
