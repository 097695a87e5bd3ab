"""The process of a local Ray: `python -m devstack.ray_program FD`, started by devstack.ray_host.

It begins when a word on its input says how, `first` or `again`, and ends with its input. Ray ends
its driver without warning when the raylet or the GCS is gone; the stack's owner, which keeps the
servers, must not be that driver. What happens is told on FD, in lines of JSON.
"""

import dataclasses
import json
import logging
import os
import sys
import time
from typing import Any

# What workers import, before they are forked from here.
import ray._private.workers.default_worker
import ray.serve._private.haproxy
import ray.serve._private.replica  # noqa: F401

from devstack import fork_server, stop_requests
from devstack.observe import FleetObserver
from devstack.part import Lost, Part
from devstack.ray_node import fork_server_of
from devstack.ray_parts import RayPart, ServePart, ShardsPart
from devstack.stack import Stack
from devstack.state import StackState
from devstack.stop_requests import StopRequested
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import load_settings

CHECK_INTERVAL_S = 0.5
_log = logging.getLogger("fleetpulse.ray")


class _Teller:
    """Writes what is new in the stack's state."""

    def __init__(self, descriptor: int) -> None:
        self._lines = os.fdopen(descriptor, "w", buffering=1)
        self._told: list[dict[str, Any]] = []

    def report(self, state: StackState) -> None:
        news = [dataclasses.asdict(part) for part in state.parts]
        for part in news:
            if part not in self._told:
                self.tell(part | {"ray_address": state.ray_address})
        self._told = news

    def tell(self, line: dict[str, Any]) -> None:
        try:
            self._lines.write(json.dumps(line) + "\n")
        except BrokenPipeError:
            return  # the owner has gone, and the end of our input says so too


def main(descriptor: int, *, again: bool) -> int:
    """Run until told to stop, or until Ray ends; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = load_settings()
    folder = settings.data_folder
    teller = _Teller(descriptor)
    http = ServePart(again=again)
    parts: list[Part] = [
        RayPart(settings.ray, folder, then=http.begin),
        ShardsPart(folder, again=again),
        http,
    ]
    stack = Stack(parts, StackState("", os.getpid(), 0.0, "starting"), teller.report)
    observer = FleetObserver(folder)
    stop_requests.listen()
    stop_requests.stop_at_end_of_input()
    failed = True
    try:
        stack.start(settings)
        stop_requests.listen()  # ray.init took SIGTERM
        while True:
            for part in parts:
                part.tend()
            observer.look()
            time.sleep(CHECK_INTERVAL_S)
    except (StopRequested, SystemExit):  # Ray's own handler, while it starts, exits
        failed = False
    except Lost as lost:
        # Not a word to Ray any more: it would end this process half way.
        teller.tell({"problem": str(lost)})
        os._exit(1)
    except FleetpulseError as error:
        teller.tell({"problem": str(error)})
    except Exception as error:  # noqa: BLE001  # whatever it is: say it, then stop the rest
        _log.exception("a part did not start")
        teller.tell({"problem": f"{type(error).__name__}: {error}".splitlines()[0]})
    stop_requests.ignore()
    stack.stop()
    observer.forget()
    return int(failed)


def _begin(descriptor: int) -> int:
    """Wait for the word; then this process forks the program, and Ray's workers for it."""
    word = os.read(sys.stdin.fileno(), 16).decode()
    if not word:
        return 0
    at = fork_server_of(load_settings().data_folder)
    return fork_server.run(at, lambda: main(descriptor, again=word == "again"))


if __name__ == "__main__":
    sys.exit(_begin(int(sys.argv[1])))
