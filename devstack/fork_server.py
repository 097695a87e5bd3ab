"""Forks the workers of our own Ray from a process that has imported what they need.

A worker's imports take a second of CPU time, and a stack has ten workers; forked from here, one
begins within milliseconds and shares those modules' memory. The program that connects to Ray is the
first fork: afterwards it has threads and connections that no worker may inherit.
"""

import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from devstack.fork_request import JOB, LENGTH_BYTES, SETUP_ENVIRONMENT

_REQUEST_TIMEOUT_S: Final = 5.0
_BACKLOG: Final = 64
_STANDARD: Final = 3
"""Input, output and errors."""
_DESCRIPTORS_MAX: Final = 1 << 16
_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_FOR_SETUP: Final = ("--language=", SETUP_ENVIRONMENT)
"""Arguments to Ray's `setup_worker.py`, which a worker without a runtime environment skips."""


def environment() -> dict[str, str]:
    """For a process that calls `run`, started by this one, before it imports Ray.

    Ray's library takes these two when it is loaded, which here is before there is a raylet: the
    job, which is therefore that of each fork, and the process without which a worker ends.
    """
    return {
        "RAY_JOB_ID": JOB,
        "RAY_RAYLET_PID": str(os.getpid()),
        "OPENBLAS_NUM_THREADS": "1",  # its threads would not be there after a fork
    }


def run(address: Path, program: Callable[[], int]) -> int:
    """Fork `program`, and workers for whoever asks at that socket, until the program ends.

    Returns its exit status, 128 more than the number of a signal that ended it. The caller has
    imported what all of them need, and has no other thread of Python's. Signals to end are handed
    on.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        previous = os.umask(0o177)  # only this user may ask
        try:
            address.unlink(missing_ok=True)
            listener.bind(str(address))
        finally:
            os.umask(previous)
        listener.listen(_BACKLOG)
        gc.freeze()  # a collection would touch, and so copy, what is shared
        # A signal that comes before there is a program to hand it to waits.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        child = _fork(program, listener)
        try:
            return _Server(listener, child).serve()
        finally:
            address.unlink(missing_ok=True)


def _fork(begin: Callable[[], int], listener: socket.socket) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        listener.close()
        os._exit(_status_of(begin))
    return child


def _status_of(begin: Callable[[], int]) -> int:
    try:
        return begin()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # as the interpreter does when a program ends
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


class _Server:
    def __init__(self, listener: socket.socket, program: int) -> None:
        self._listener = listener
        self._program = program
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)  # noqa: FBT003

    def serve(self) -> int:
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _do_nothing)  # but be woken
        for number in _ENDING:
            signal.signal(number, self._hand_on)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        with selectors.DefaultSelector() as ready:
            ready.register(self._listener, selectors.EVENT_READ)
            ready.register(self._woken, selectors.EVENT_READ)
            while (status := self._reap()) is None:
                if any(key.fileobj is self._listener for key, _ in ready.select()):
                    self._answer()
                with suppress(BlockingIOError):
                    self._woken.recv(4096)
        return status

    def _reap(self) -> int | None:
        """The program's exit status once it has ended; workers that ended are forgotten."""
        with suppress(ChildProcessError):
            while True:
                child, status = os.waitpid(-1, os.WNOHANG)
                if child == self._program:
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else 128 - code  # as a shell says it
                if child == 0:
                    return None
        return None

    def _hand_on(self, number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._program, number)

    def _answer(self) -> None:
        """One request; whoever asks wrongly or too slowly gets no worker."""
        with (
            suppress(OSError, ValueError, KeyError, TypeError),
            self._listener.accept()[0] as asking,
        ):
            asking.settimeout(_REQUEST_TIMEOUT_S)
            head, descriptors, _, _ = socket.recv_fds(asking, LENGTH_BYTES, _STANDARD)
            try:
                told = json.loads(_exactly(asking, int.from_bytes(head, "big")))
                worker = _Worker(told["command"], told["environment"], descriptors)
                _fork(lambda: _become(worker), self._listener)
                asking.sendall(b"+")
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)


def _become(worker: "_Worker") -> int:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    worker.work()
    return 0


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process of Ray's before it begins."""

    command: list[str]
    """The script, which this interpreter runs, and its arguments."""
    environment: dict[str, str]
    descriptors: list[int]

    def work(self) -> None:
        """Run the script in this process."""
        # A session of its own: where Linux groups processes by session (`autogroup`), all of Ray
        # together would get as much of a busy machine as one broker.
        os.setsid()
        for standard, descriptor in enumerate(self.descriptors):
            os.dup2(descriptor, standard)
        # Whoever reads what the server or its program writes sees its end, whatever workers do.
        os.closerange(_STANDARD, _DESCRIPTORS_MAX)
        os.environ.clear()
        os.environ.update(self.environment)
        script, *arguments = self.command
        sys.argv = [script, *(each for each in arguments if not each.startswith(_FOR_SETUP))]
        runpy.run_path(script, run_name="__main__")


def _exactly(asking: socket.socket, size: int) -> bytes:
    with asking.makefile("rb") as stream:
        return stream.read(size)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """A handler, so that the signal wakes who waits."""
