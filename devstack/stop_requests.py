"""How a process of the stack is told to stop: a signal, or the end of its standard input."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopRequested(BaseException):
    """Raised in the main thread by a signal, wherever it is."""


def listen() -> None:
    """From now on a signal raises StopRequested. Again after ray.init, which takes SIGTERM."""
    for number in _SIGNALS:
        signal.signal(number, _raise_stop)


def ignore() -> None:
    """While stopping: once is enough."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def stop_at_end_of_input() -> None:
    """Whoever holds the other end need not live to stop us."""
    threading.Thread(target=_await_end_of_input, name="input", daemon=True).start()


def _raise_stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise StopRequested


def _await_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
