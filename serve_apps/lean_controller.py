"""Serve's controller without the spare Python proxy that it keeps beside HAProxy.

The spare answers for an application without replicas, until one is scaled up from zero. Ours have
replicas always, and while one is replaced HAProxy tells who asks to try again. No setting turns the
spare off; its start takes as much CPU as that of the ingest, at the moment when the ingest starts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ray.serve._private import constants, controller, proxy_state

CONTROLLER: Final = constants.SERVE_CONTROLLER_NAME
CONTROLLER_NAMESPACE: Final = constants.SERVE_NAMESPACE
_CLASS: Final = "ServeController"
_theirs: Any = vars(controller)[_CLASS]


class ServeController(_theirs):  # type: ignore[misc]  # its name is what the process is called
    """What Serve would start, in a process that knows no spare."""

    async def __init__(self, **options: object) -> None:  # type: ignore[misc]  # an async actor's
        manager: Any = proxy_state.ProxyStateManager
        manager._start_fallback_proxy_if_needed = _start_nothing  # noqa: SLF001
        await super().__init__(**options)


def _start_nothing(*_: object) -> None:
    """In place of a proxy."""


@contextmanager
def without_spare_proxy() -> Iterator[None]:
    """`serve.start` within it starts this controller."""
    vars(controller)[_CLASS] = ServeController
    try:
        yield
    finally:
        vars(controller)[_CLASS] = _theirs
