"""Finds the actors that host shards, by the names that the supervisor gives them."""

from typing import Any, Final

from ray.util import list_named_actors

from actors.live_hub import NAMESPACE

Handle = Any
"""A Ray actor handle: its methods are made at run time."""
_PREFIX: Final = "device-shard-"


def actor_name(serial: int) -> str:
    """Of the driver's n-th actor: a successor has another name than the one that it replaces."""
    return f"{_PREFIX}{serial}"


def shard_actors() -> list[str]:
    """Those that live, spares among them. Asks Ray: call it off an event loop."""
    return [
        each["name"]
        for each in list_named_actors(all_namespaces=True)
        if each["namespace"] == NAMESPACE and each["name"].startswith(_PREFIX)
    ]
