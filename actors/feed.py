"""What a shard tells the live hub, in a thread of its own and bounded: a slow hub costs live
data, never throughput. Alerts and events are kept until the hub has them.

Alerts and events go at once, what watched devices send every `INTERVAL_S`, the picture of the
fleet and the shard's status once per period, which the hub chooses by whether somebody looks.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import TypeVar

from actors.picture import Decided, Picture, decided
from fleetpulse.effects import AlertEvent, DeviceEvent, Effects
from fleetpulse.engine import Engine
from fleetpulse.identity import DeviceKey
from fleetpulse.live import (
    LiveAlert,
    LiveSamples,
    LiveScore,
    LiveUpdate,
    LiveWish,
    ShardStatus,
)
from fleetpulse.stale import is_stale
from fleetpulse.view import newest_samples

logger = logging.getLogger(__name__)

INTERVAL_S = 0.1
BATCHES_MAX = 256
CROWD = BATCHES_MAX // 2
"""So many steps wait neither for the next picture nor until the oldest are lost."""
ALERTS_MAX = 10_000

RETRY_S = 1.0
Publish = Callable[[LiveUpdate], LiveWish]
"""Hands an update to the hub; answers what it wants of the shard from now on."""


class LiveFeed:
    """Collects from the loop and the alert sink; a thread makes of it what is published."""

    def __init__(self, engine: Engine, publish: Publish, *, stale_after_s: float) -> None:
        """stale_after_s: alerts whose event time is older when they are published are stale."""
        self._engine = engine
        self._stale_after_s = stale_after_s
        self._publish = publish
        self._decided: deque[Decided] = deque(maxlen=BATCHES_MAX)
        self._samples: deque[LiveSamples] = deque(maxlen=BATCHES_MAX)
        self._alerts: deque[AlertEvent] = deque(maxlen=ALERTS_MAX)
        self._events: deque[DeviceEvent] = deque(maxlen=ALERTS_MAX)
        self._forgotten: deque[bytes] = deque(maxlen=ALERTS_MAX)
        self._picture = Picture()
        self._pictured_s = -math.inf
        self._picture_s = 0.0
        """Period of pictures; the hub's first answer says it."""
        self._watched: frozenset[bytes] = frozenset()
        self._seen_us: dict[bytes, int] = {}
        self._sampled_s = 0.0
        self._telling = False
        self._changed = Condition()
        self._closing = False
        self._thread: Thread | None = None

    def start(self, status: Callable[[], ShardStatus]) -> None:
        """Publish from now on, and ask for the shard's status as often as it is told."""
        self._thread = Thread(target=self._run, args=(status,), name="live-feed", daemon=True)
        self._thread.start()

    def decided(self, effects: Effects) -> None:
        """Effects that are not committed yet; from the loop."""
        step = decided(effects, time.time_ns() // 1000)
        if step is not None:
            self._decided.append(step)
            if len(self._decided) == CROWD:
                with self._changed:
                    self._changed.notify_all()

    def committed(self, effects: Effects) -> None:
        """Effects that PostgreSQL has; from the alert sink's thread."""
        gone = [DeviceKey(each.tenant, each.device_id).encode() for each in effects.forgotten]
        if effects.alerts or effects.presences or effects.sessions or gone:
            with self._changed:
                self._alerts += effects.alerts
                self._events += effects.presences
                self._events += effects.sessions
                self._events += effects.forgotten
                self._forgotten += gone
                self._changed.notify_all()

    @property
    def told(self) -> bool:
        """Whether the hub has every committed alert and event, as of the newest publication."""
        return not (self._alerts or self._events or self._telling)

    def pulse(self) -> None:
        """Between batches, from the loop: copy what the watched devices sent."""
        now_s = time.monotonic()
        if not self._watched or now_s - self._sampled_s < INTERVAL_S / 2:
            return
        self._sampled_s = now_s
        for key in self._watched:
            samples = newest_samples(self._engine, key, self._seen_us.get(key, 0))
            if samples is not None:
                self._seen_us[key] = int(samples.t_us[-1])
                self._samples.append(samples)

    def close(self) -> None:
        """Publish what is left and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(5.0)

    def _run(self, status: Callable[[], ShardStatus]) -> None:
        closing = False
        while not closing:
            with self._changed:
                self._changed.wait_for(self._urgent, self._rest_s())
                closing = self._closing
            self._telling = True
            try:
                self._turn(status, closing=closing)
            except Exception:  # live data may be lost, alerts to come must not be
                logger.exception("live feed: begins a new picture")
                self._picture = Picture()
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, RETRY_S)
            self._telling = False

    def _turn(self, status: Callable[[], ShardStatus], *, closing: bool) -> None:
        if not self._tell_news():
            return
        # Half an interval early rather than as much late: while a device is watched, it is
        # asked once per interval.
        due = closing or self._until_due_s() < INTERVAL_S / 2 or self._picture.full
        forgotten, scores = self._gather()
        update = LiveUpdate(
            status=status() if due else None,
            picture=self._picture.drawn() if due else None,
            scores=scores,
            samples=_drained(self._samples),
            forgotten=forgotten,
        )
        if not update.empty:
            self._tell(update)

    def _tell_news(self) -> bool:
        """Alerts and events, ahead of what takes longer; False if the hub is away."""
        news = LiveUpdate(alerts=self._dated(_drained(self._alerts)), events=_drained(self._events))
        return news.empty or self._tell(news)

    def _urgent(self) -> bool:
        waits = self._alerts or self._events or self._forgotten or len(self._decided) >= CROWD
        return self._closing or bool(waits)

    def _rest_s(self) -> float:
        rest_s = self._until_due_s()
        return max(0.0, min(rest_s, INTERVAL_S) if self._watched else rest_s)

    def _until_due_s(self) -> float:
        return self._pictured_s + self._picture_s - time.monotonic()

    def _gather(self) -> tuple[list[bytes], list[LiveScore]]:
        """Bring the picture up to date; answers who was deleted, and the scores of the watched."""
        # First who was deleted: all that was decided of them before is then in the picture.
        forgotten = _drained(self._forgotten)
        steps = _drained(self._decided)
        self._picture.take(steps)
        self._picture.forget(forgotten)
        return forgotten, _scores_of(steps, self._watched) if self._watched else []

    def _tell(self, update: LiveUpdate) -> bool:
        """Whether the hub took it; if not, what must not be lost is kept for the next time."""
        begun_s = time.monotonic()
        try:
            wish = self._publish(update)
        except Exception as error:  # noqa: BLE001 - live data may be lost, the shard must run
            logger.warning("live hub: %s", error)
            with self._changed:
                self._alerts.extendleft(alert.event for alert in reversed(update.alerts))
                self._events.extendleft(reversed(update.events))
                self._forgotten.extendleft(reversed(update.forgotten))
                if self._picture.full:
                    self._picture = Picture()  # its devices come again with their next second
                self._changed.wait_for(lambda: self._closing, RETRY_S)
            return False
        if update.picture is not None:
            self._picture, self._pictured_s = Picture(), begun_s
        self._picture_s = wish.picture_s
        if wish.watched != self._watched:
            seen_us = self._seen_us.copy()  # one step: the loop adds to it meanwhile
            self._seen_us = {k: v for k, v in seen_us.items() if k in wish.watched}
            self._watched = wish.watched
        return True

    def _dated(self, alerts: list[AlertEvent]) -> list[LiveAlert]:
        """By the wall clock: what an alert is depends on the log, whom it calls does not."""
        now_us = time.time_ns() // 1000
        return [
            LiveAlert(event, stale=is_stale(event.at_us, now_us, self._stale_after_s))
            for event in alerts
        ]


def _scores_of(steps: list[Decided], watched: frozenset[bytes]) -> list[LiveScore]:
    return [
        LiveScore(
            device, int(rows.window_end_us[at]), float(rows.scores[at]), rows.threshold, rows.model
        )
        for step in steps
        for rows in step.scores
        for at, device in enumerate(rows.devices)
        if device in watched
    ]


T = TypeVar("T")


def _drained(queue: deque[T]) -> list[T]:
    return [queue.popleft() for _ in range(len(queue))]
