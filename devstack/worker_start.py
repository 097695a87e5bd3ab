"""Imported by every worker of our own Ray before it works.

It gives the worker a session of its own: where Linux groups processes by session (`autogroup`), all
of Ray together would get as much of a busy machine as one broker, also while everything starts.
"""

import os
from contextlib import suppress

import devstack.lean_serve  # noqa: F401


def own_session() -> None:
    """Leave the raylet's session. The group keeps its number, by which the raylet ends it."""
    with suppress(OSError):  # where a worker is led by something else, it stays there
        if os.getpgid(0) == os.getpid():
            os.setpgid(0, os.getpgid(os.getppid()))  # who leads a group cannot leave the session
        os.setsid()


own_session()
