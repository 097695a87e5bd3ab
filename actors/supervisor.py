"""Starts, replaces, adds and removes the shards, which are Ray actors; starts hub and recompute.

A slot is a place in the group; whichever actor holds it, it has the slot's transactional id, so a
successor ends what its predecessor left open. Partitions move by the group protocol.
"""

import itertools
import logging
import time
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Final

import ray
from ray.exceptions import ActorUnavailableError, RayError

from actors.device_shard import DeviceShard, shard_name
from actors.live_hub import NAMESPACE, start_live_hub, stop_live_hub
from actors.recompute_actor import start_recompute
from actors.revival import Revival
from actors.shard_actors import Handle, actor_name
from fleetpulse.errors import ConfigError, RetryLater
from fleetpulse.live import ShardStatus
from fleetpulse.settings import Settings

STOP_TIMEOUT_S: Final = 10.0
STATUS_TIMEOUT_S: Final = 2.0
WATCH_S: Final = 20.0
LOOK_S: Final = 0.2
_THREADS: Final = 9
"""One of them waits in `watch`; for a while further ones, if the shard was out of reach."""
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Shard:
    """An actor, and a call to it that fails at the moment when its process ends."""

    name: str
    actor: Handle
    watch: Any
    slot: int | None = None
    """None: a spare."""
    unreachable: bool = False
    died: str | None = None
    """Ray's account of its end."""


@dataclass(slots=True)
class _Slot:
    shard: _Shard
    revival: Revival = field(default_factory=Revival)


class Shards:
    """The shards of this driver; they end with it. A thread of its own replaces what dies."""

    def __init__(self, settings: Settings, count: int) -> None:
        """`count`: how many to begin with."""
        self._settings = settings
        self._wanted = count
        self._serial = itertools.count()
        self._slots: dict[int, _Slot] = {}
        self._spare: _Shard | None = None
        self._recompute: Handle | None = None
        self._spare_revival = Revival()
        self._complete = Event()
        self._stopping = Event()
        self._thread = Thread(target=self._supervise, name="shards", daemon=True)

    def start(self) -> None:
        """Create the shards, which begin to recover at once, and the hub."""
        self._add()
        start_live_hub()
        self._thread.start()

    def complete(self) -> None:
        """Everything else runs: start the recomputation and the spare, for which nobody waits.

        Their imports would take CPU from what recovers.
        """
        self._complete.set()

    @property
    def wanted(self) -> int:
        """How many there are, or soon will be."""
        return self._wanted

    def scale(self, wanted: int) -> None:
        """Change their number. Those removed commit, snapshot and leave before they end."""
        partitions = self._settings.kafka.partitions
        if not 1 <= wanted <= partitions:
            raise ConfigError(f"shards: from 1 to {partitions}, the number of partitions")
        self._wanted = wanted

    def status(self) -> list[ShardStatus]:
        """Of the shards that answer."""
        answers = [slot.shard.actor.status.remote() for slot in dict(self._slots).values()]
        found: list[ShardStatus] = []
        for answer in _await_all(answers, STATUS_TIMEOUT_S):
            try:
                status = ray.get(answer)
            except RayError:
                continue
            if status is not None:
                found.append(status)
        return found

    def await_ready(self, timeout_s: float) -> None:
        """Wait until every partition is owned (or stopped, with a remedy)."""
        deadline_s = time.monotonic() + timeout_s
        everything = set(range(self._settings.kafka.partitions))
        while True:
            owned = {part.partition for status in self.status() for part in status.partitions}
            if owned == everything:
                return
            if time.monotonic() > deadline_s:
                missing = sorted(everything - owned)
                raise RetryLater(f"no shard took partitions {missing} within {timeout_s:g} s")
            time.sleep(0.1)

    def stop(self) -> bool:
        """Let every shard commit and snapshot; True if all did in time."""
        self.abandon()
        done = self._remove(sorted(self._slots))
        if self._spare:
            ray.kill(self._spare.actor)
            self._spare = None
        if self._recompute is not None:
            ray.kill(self._recompute)
            self._recompute = None
        stop_live_hub()
        return done

    def abandon(self) -> None:
        """Replace nothing any more. Called alone when Ray itself has ended."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_TIMEOUT_S + 5)

    # in the supervising thread

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
                self._replace()
                self._add()
                self._remove([slot for slot in self._slots if slot >= self._wanted])
                if self._complete.is_set():
                    self._keep_recompute()
                    self._keep_spare()
            except RayError:
                logger.exception("the shards are looked after again in a moment")
                self._stopping.wait(1.0)

    def _look(self) -> None:
        """Wait a moment for an actor to end."""
        shards = [slot.shard for slot in self._slots.values()]
        if self._spare:
            shards.append(self._spare)
        alive = [shard for shard in shards if shard.died is None]
        if not alive:
            self._stopping.wait(LOOK_S)
            return
        ended, _ = ray.wait([shard.watch for shard in alive], timeout=LOOK_S)
        for shard in alive:
            if shard.watch in ended:
                self._look_at(shard)

    def _look_at(self, shard: _Shard) -> None:
        """Its watch ended: it has been a while, it cannot be reached for now, or it is dead."""
        try:
            ray.get(shard.watch)
            shard.unreachable = False
        except ActorUnavailableError as error:
            # It may live. To replace it would end it: Ray kills an actor whose handle is gone.
            if not shard.unreachable:
                logger.warning("%s cannot be reached: %s", shard.name, error)
            shard.unreachable = True
            self._stopping.wait(LOOK_S)
        except RayError as error:  # memory, scheduling and environment have errors of their own
            shard.died = str(error) or repr(error)
            logger.warning("%s died: %s", shard.name, shard.died)
            return
        shard.watch = shard.actor.watch.remote(WATCH_S)
        if shard.slot is not None:
            shard.actor.begin.remote(shard.slot)  # in case that the first one was lost

    def _replace(self) -> None:
        for number, slot in self._slots.items():
            if slot.shard.died is not None and slot.revival.due():
                logger.warning("%s (%s) is replaced", shard_name(number), slot.shard.name)
                slot.shard = self._hire(number)

    def _keep_recompute(self) -> None:
        if self._recompute is None:
            self._recompute = start_recompute(self._settings)

    def _keep_spare(self) -> None:
        if not self._settings.shard.spare:
            return
        if self._spare is None or (self._spare.died is not None and self._spare_revival.due()):
            self._spare = self._create()

    def _add(self) -> None:
        for number in range(self._wanted):
            if number not in self._slots:
                self._slots[number] = _Slot(self._hire(number))

    def _hire(self, slot: int) -> _Shard:
        """The spare if there is one, else a new actor, in this slot."""
        shard, self._spare = self._spare, None
        if shard is None or shard.unreachable or shard.died is not None:
            shard = self._create()
        shard.slot = slot
        shard.actor.begin.remote(slot)
        return shard

    def _create(self) -> _Shard:
        name = actor_name(next(self._serial))
        actor: Handle = (
            ray.remote(DeviceShard)
            .options(
                name=name,
                namespace=NAMESPACE,
                num_cpus=1,
                max_concurrency=_THREADS,
            )
            .remote(self._settings)
        )
        return _Shard(name, actor, actor.watch.remote(WATCH_S))

    def _remove(self, slots: list[int]) -> bool:
        """All at once; True if all of them committed and left in time."""
        leaving = [self._slots[slot].shard for slot in slots]
        answers = [shard.actor.stop.remote(STOP_TIMEOUT_S) for shard in leaving]
        done = sum(map(_true, _await_all(answers, STOP_TIMEOUT_S + 2)))
        for slot, shard in zip(slots, leaving, strict=True):
            ray.kill(shard.actor)
            del self._slots[slot]
        return done == len(slots)


def _await_all(answers: list[Any], timeout_s: float) -> list[Any]:
    """Those that came, or failed, in time."""
    return ray.wait(answers, num_returns=len(answers), timeout=timeout_s)[0] if answers else []


def _true(answer: Any) -> bool:
    try:
        return bool(ray.get(answer))
    except RayError:
        return False
