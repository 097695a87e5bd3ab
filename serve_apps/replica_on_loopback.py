"""Keeps a Serve replica's own gRPC door on loopback.

A replica binds it to every interface and unpickles what arrives there. Serve has no setting for
the address, so each deployment calls this before Serve binds: first thing in its constructor.
"""

from typing import Any

from ray._common import tls_utils
from ray.serve._private import replica


def bind_replica_to_loopback() -> None:
    """Replace the wildcard address that this process's replica is about to bind."""

    def bind(server: Any, address: str) -> int:
        port: int = tls_utils.add_port_to_grpc_server(server, address.replace("[::]", "127.0.0.1"))
        return port

    replica.add_port_to_grpc_server = bind
