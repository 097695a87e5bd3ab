"""The owner of a running stack: `python -m devstack.daemon`, started by devstack.launch.

SIGTERM stops everything; so does, with `--while-stdin`, the end of its standard input.
"""

import fcntl
import logging
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TextIO

import psutil

from devstack import stop_requests
from devstack.parts import parts_of
from devstack.preflight import missing
from devstack.processes import STACK_VARIABLE, end_marked
from devstack.shards_wanted import forget_shards_wanted
from devstack.stack import Stack
from devstack.state import StackState, write_state
from devstack.stop_requests import StopRequested
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import Settings, load_settings

CHECK_INTERVAL_S = 0.5
_log = logging.getLogger("fleetpulse.stack")


def main() -> int:
    """Run until told to stop; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = load_settings()
    lock = _only_owner(settings.data_folder)
    if lock is None:
        _log.error("another owner holds %s", settings.data_folder)
        return 2
    with lock:
        if "--while-stdin" in sys.argv[1:]:
            stop_requests.stop_at_end_of_input()
        return _own(settings)


def _own(settings: Settings) -> int:
    stack_id = os.environ[STACK_VARIABLE]
    state = StackState(
        stack_id,
        pid=os.getpid(),
        started_at=psutil.Process().create_time(),
        phase="starting",
        page=f"http://{settings.http.host}:{settings.http.port}/",
    )
    forget_shards_wanted(settings.data_folder)
    stack = Stack(parts_of(settings), state, partial(write_state, settings.data_folder))
    failed = True
    try:
        stop_requests.listen()
        failed = not _start(stack, settings)
        while not failed:
            stack.tend()
            time.sleep(CHECK_INTERVAL_S)
    except StopRequested:
        failed = False
    finally:
        stop_requests.ignore()
        stack.stop()
        end_marked(STACK_VARIABLE, stack_id)
        stack.finish("failed" if failed else "stopped")
    return int(failed)


def _start(stack: Stack, settings: Settings) -> bool:
    if problems := missing(settings):
        for problem in problems:
            stack.tell(str(problem))
        return False
    try:
        stack.start(settings)
    except FleetpulseError as error:
        stack.tell(str(error))
        return False
    except Exception as error:  # noqa: BLE001  # whatever it is: say it, then stop the rest
        _log.exception("a part did not start")
        stack.tell(f"{type(error).__name__}: {error}".splitlines()[0])
        return False
    return True


def _only_owner(data_folder: Path) -> TextIO | None:
    """Holds the folder's lock while open; None when another process holds it."""
    data_folder.mkdir(parents=True, exist_ok=True)
    file = (data_folder / "stack.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


if __name__ == "__main__":
    sys.exit(main())
