"""Finds the processes of a stack that a fault strikes."""

import json
import random
import time
from dataclasses import dataclass
from typing import Final

import psutil

from benchmarks.chaos.schedule import Victim
from benchmarks.stack import MeasuredStack
from devstack.processes import STACK_VARIABLE, marked
from devstack.state import read_fleet
from fleetpulse.errors import FleetpulseError

_WORKING_S: Final = 20.0
_LOOK_S: Final = 0.1
_TITLES: dict[Victim, str] = {
    "ingest replica": "ray::ServeReplica:ingest",
    "Serve controller": "ray::ServeController",
    "Ray node": "/raylet/raylet",
}


@dataclass(frozen=True, slots=True)
class Victims:
    """`chance` decides where there are several."""

    stack: MeasuredStack
    chance: random.Random

    def find(self, victim: Victim) -> list[psutil.Process]:
        """The process, with its children where those are one thing with it."""
        if victim == "shard":
            return [psutil.Process(self._shard())]
        if victim == "PostgreSQL":
            (server,) = [
                each
                for each in self._all("postgres")
                if (parent := each.parent()) is None or parent.name() != "postgres"
            ]
            return [server, *server.children()]
        if victim in ("broker", "controller broker"):
            leader = self._controller()
            others = [node for node in range(1, 4) if node != leader]
            node = leader if victim == "controller broker" else self.chance.choice(others)
            return self._all(f"kafka/{node}/server.properties")
        return self._all(_TITLES[victim])[:1]

    def _all(self, text: str) -> list[psutil.Process]:
        """Processes with this in their command line."""
        found = []
        for process in marked(STACK_VARIABLE, self.stack.stack_id):
            try:
                if text in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue  # it ended
        if not found:
            raise FleetpulseError(f"the stack has no process with {text}")
        return found

    def _shard(self) -> int:
        """One that has partitions: a spare would not be missed. Waits while all recover."""
        deadline_s = time.monotonic() + _WORKING_S
        while not (working := self._working()):
            if time.monotonic() > deadline_s:
                raise FleetpulseError(f"no shard had a partition for {_WORKING_S:g} s")
            time.sleep(_LOOK_S)
        return self.chance.choice(sorted(working))

    def _working(self) -> list[int]:
        fleet = read_fleet(self.stack.settings.data_folder) or {"shards": []}
        return [
            shard["pid"]
            for shard in fleet["shards"]
            if shard["partitions"] and psutil.pid_exists(shard["pid"])
        ]

    def _controller(self) -> int:
        """The node that the newest election made the active controller."""
        folder = self.stack.settings.data_folder / "kafka"
        states = [
            json.loads(file.read_text())
            for file in folder.glob("*/log/__cluster_metadata-0/quorum-state")
        ]
        newest = max(states, key=lambda state: (state["leaderEpoch"], state["leaderId"]))
        return int(newest["leaderId"])
