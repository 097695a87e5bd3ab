"""CPU and memory of every process of a stack, by what it does."""

import os
import time
from dataclasses import dataclass, field
from threading import Event, Thread, get_native_id

import numpy as np
import psutil

from benchmarks.steadiness import thirds
from devstack.processes import Memory, memory_of

_INTERVAL_S = 0.5
# A process's memory takes the kernel 2 to 13 ms, 50 for a whole stack's: not all in one look.
_MEMORY_LOOKS = 4
_NICENESS = 19
# Until its exec is through, a new process shows its parent's environment, or an empty one.
_STARTING_S = 2.0
_NONE = Memory(share=0, held=0)

# The first text that a command line contains decides.
_ROLES = (
    ("kafka.Kafka", "broker"),
    ("postgres", "postgres"),
    ("ray::DeviceShard", "shard"),
    ("ray::LiveHub", "live hub"),
    ("ray::ServeReplica:ingest", "ingest"),
    ("ray::ServeReplica:query", "query"),
    ("ray::ServeReplica:bound", "bound"),
    ("haproxy", "http proxy"),
    ("HAProxyManager", "serve system"),
    ("ServeController", "serve system"),
    ("ray::", "ray system"),
    ("raylet", "ray system"),
    ("gcs_server", "ray system"),
    ("/ray/", "ray system"),
    ("devstack.daemon", "stack owner"),
    ("benchmarks.generator", "generator"),
    ("benchmarks.ingest_load", "generator"),
    ("benchmarks.ingest_serve", "stack owner"),
    ("benchmarks.handle_watch", "views"),
    ("benchmarks.alert_socket", "alert socket"),
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a role used while it was watched. Memory is its share of what it has in common."""

    name: str
    cpu_s: float
    memory_peak_mb: float
    memory_thirds_mb: list[float] = field(default_factory=list)
    """Of what it holds without mapped files: medians of the thirds, see benchmarks.steadiness."""


@dataclass(slots=True)
class _Watched:
    process: psutil.Process
    role: str
    cpu_before_s: float
    cpu_s: float = 0.0
    memory: Memory = _NONE


@dataclass(slots=True)
class ProcessWatch:
    """Samples processes whose environment has `variable=value`, in a thread of its own."""

    variable: str
    value: str
    roots: frozenset[int] = frozenset()
    """Processes that are watched without having it, and what they start."""
    interval_s: float = _INTERVAL_S
    _history: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    _known: dict[int, _Watched | None] = field(default_factory=dict)
    _held_mb: dict[str, list[float]] = field(default_factory=dict)
    _looks: int = 0
    _memory_peak: dict[str, int] = field(default_factory=dict)
    _ended: list[_Watched] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Count from here on."""
        self._look(new_cpu=False)
        self._thread = Thread(target=self._run, name="process-watch", daemon=True)
        self._thread.start()

    def stop(self) -> list[Usage]:
        """End watching; the sums by role, largest first."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
        self._look(new_cpu=True, all_memory=True)
        usages = [
            Usage(
                role,
                round(spent, 2),
                round(self._memory_peak.get(role, 0) / 2**20, 1),
                thirds(self._held_mb.get(role, [])),
            )
            for role, spent in self._spent().items()
        ]
        return sorted(usages, key=lambda usage: -usage.cpu_s)

    def cpu_between(self, begin_s: float, end_s: float) -> dict[str, float]:
        """CPU seconds by role between two times on time.time's scale, straight between samples."""
        times = [at_s for at_s, _ in self._history]
        roles = sorted({role for _, cpu in self._history for role in cpu})
        spent = {}
        for role in roles:
            used = [cpu.get(role, 0.0) for _, cpu in self._history]
            begin, end = np.interp([begin_s, end_s], times, used)
            spent[role] = float(end - begin)
        return spent

    def peaks_mb(self) -> dict[str, float]:
        """Highest memory by role so far."""
        return {role: peak / 2**20 for role, peak in self._memory_peak.items()}

    def pids(self, role: str) -> list[int]:
        """Living processes of a role, by age."""
        watched = [each for each in self._known.values() if each and each.role == role]
        alive = [each.process for each in watched if each.process.is_running()]
        return [each.pid for each in sorted(alive, key=psutil.Process.create_time)]

    def _run(self) -> None:
        # What is watched goes first: on Linux a thread has a niceness of its own.
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICENESS)
        while not self._stop.wait(self.interval_s):
            self._look(new_cpu=True)

    def _spent(self) -> dict[str, float]:
        cpu: dict[str, float] = {}
        for watched in [*self._ended, *filter(None, self._known.values())]:
            spent = max(0.0, watched.cpu_s - watched.cpu_before_s)
            cpu[watched.role] = cpu.get(watched.role, 0.0) + spent
        return cpu

    def _look(self, *, new_cpu: bool, all_memory: bool = False) -> None:
        pids = set(psutil.pids())
        for pid in [*self._known]:
            if pid not in pids and (gone := self._known.pop(pid)):
                self._ended.append(gone)
        # Parents first: by numbers, which begin anew, a child may come before.
        for pid in sorted(pids - self._known.keys(), key=lambda each: (_began_s(each), each)):
            if (watched := self._recognise(pid, new_cpu=new_cpu)) or not _is_starting(pid):
                self._known[pid] = watched
        self._looks += 1
        roles: dict[str, list[Memory]] = {}
        for pid, watched in [*self._known.items()]:
            its_turn = all_memory or (pid + self._looks) % _MEMORY_LOOKS == 0
            if watched and not self._sample(watched, memory=its_turn):
                self._ended.append(watched)
                self._known[pid] = None
            elif watched:
                roles.setdefault(watched.role, []).append(watched.memory)
        self._history.append((time.time(), self._spent()))
        for role, parts in roles.items():
            share = sum(each.share for each in parts)
            self._memory_peak[role] = max(self._memory_peak.get(role, 0), share)
            held_mb = sum(each.held for each in parts) / 2**20
            self._held_mb.setdefault(role, []).append(round(held_mb, 1))

    def _recognise(self, pid: int, *, new_cpu: bool) -> _Watched | None:
        """new_cpu: the process began while watching, so all its CPU counts."""
        try:
            process = psutil.Process(pid)
            # PostgreSQL's backends overwrite their environment with their title.
            ours = pid in self.roots or self._known.get(process.ppid()) is not None
            if not ours and process.environ().get(self.variable) != self.value:
                return None
            used = process.cpu_times()
        except (psutil.Error, OSError):
            return None
        before = 0.0 if new_cpu else used.user + used.system
        return _Watched(process, "other", before)

    def _sample(self, watched: _Watched, *, memory: bool) -> bool:
        try:
            with watched.process.oneshot():
                used = watched.process.cpu_times()
                watched.cpu_s = used.user + used.system
                if memory or watched.memory is _NONE:
                    watched.memory = memory_of(watched.process)
                # A Ray worker names itself only once it has an actor.
                watched.role = _role(" ".join(watched.process.cmdline()))
        except (psutil.Error, OSError):
            return False
        return True


def _began_s(pid: int) -> float:
    """On time.time's scale; long ago for one that is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except (psutil.Error, OSError):
        return 0.0


def _is_starting(pid: int) -> bool:
    return time.time() - _began_s(pid) < _STARTING_S


def _role(command: str) -> str:
    return next((role for text, role in _ROLES if text in command), "other")
