"""What a shard tells the live hub, in a thread of its own and bounded: a slow hub costs live
data, never throughput. Alerts and events are kept until the hub has them.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import TypeVar

from fleetpulse.effects import AlertEvent, DeviceEvent, Effects, RollupRows, ScoreRows
from fleetpulse.engine import Engine
from fleetpulse.identity import DeviceKey
from fleetpulse.live import LiveAlert, LiveSamples, LiveUpdate, ShardStatus
from fleetpulse.view import newest_samples

logger = logging.getLogger(__name__)

INTERVAL_S = 0.1
BATCHES_MAX = 256
ALERTS_MAX = 10_000

Publish = Callable[[LiveUpdate], frozenset[bytes]]
"""Hands an update to the hub; answers the keys of the devices that somebody watches."""


class LiveFeed:
    """Collects from the loop and the alert sink, publishes at most every `INTERVAL_S`."""

    def __init__(self, engine: Engine, publish: Publish, *, stale_after_s: float) -> None:
        """stale_after_s: alerts whose event time is older when they are published are stale."""
        self._engine = engine
        self._stale_after_us = round(stale_after_s * 1e6)
        self._publish = publish
        self._seconds: deque[RollupRows] = deque(maxlen=BATCHES_MAX)
        self._scores: deque[ScoreRows] = deque(maxlen=BATCHES_MAX)
        self._samples: deque[LiveSamples] = deque(maxlen=BATCHES_MAX)
        self._alerts: deque[AlertEvent] = deque(maxlen=ALERTS_MAX)
        self._events: deque[DeviceEvent] = deque(maxlen=ALERTS_MAX)
        self._forgotten: deque[bytes] = deque(maxlen=ALERTS_MAX)
        self._watched: frozenset[bytes] = frozenset()
        self._seen_us: dict[bytes, int] = {}
        self._sampled_s = 0.0
        self._telling = False
        self._changed = Condition()
        self._closing = False
        self._thread: Thread | None = None

    def start(self, status: Callable[[], ShardStatus]) -> None:
        """Publish from now on, each time with the shard's status."""
        self._thread = Thread(target=self._run, args=(status,), name="live-feed", daemon=True)
        self._thread.start()

    def decided(self, effects: Effects) -> None:
        """Effects that are not committed yet; from the loop."""
        self._scores += effects.scores
        self._seconds += [rows for rows in effects.rollups if rows.resolution == "second"]

    def committed(self, effects: Effects) -> None:
        """Effects that PostgreSQL has; from the alert sink's thread."""
        if effects.alerts:
            with self._changed:
                self._alerts += effects.alerts
                self._changed.notify_all()
        self._events += effects.presences
        self._events += effects.sessions
        self._forgotten += [DeviceKey(e.tenant, e.device_id).encode() for e in effects.forgotten]

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
        published_s = 0.0
        while True:
            with self._changed:
                rest = published_s + INTERVAL_S - time.monotonic()
                self._changed.wait_for(lambda: self._closing or self._alerts, max(0.0, rest))
                closing = self._closing
            published_s = time.monotonic()
            self._telling = True
            alerts, events = _drained(self._alerts), _drained(self._events)
            update = LiveUpdate(
                status=status(),
                seconds=_drained(self._seconds),
                scores=_drained(self._scores),
                alerts=self._dated(alerts),
                events=events,
                samples=_drained(self._samples),
                forgotten=_drained(self._forgotten),
            )
            try:
                watched = self._publish(update)
            except Exception as error:  # noqa: BLE001 - live data may be lost, the shard must run
                logger.warning("live hub: %s", error)
                with self._changed:
                    self._alerts.extendleft(reversed(alerts))
                    self._events.extendleft(reversed(events))
                    self._changed.wait_for(lambda: self._closing, 1.0)
                watched = self._watched
            self._telling = False
            if closing:
                return
            if watched != self._watched:
                seen_us = self._seen_us.copy()  # one step: the loop adds to it meanwhile
                self._seen_us = {k: v for k, v in seen_us.items() if k in watched}
                self._watched = watched

    def _dated(self, alerts: list[AlertEvent]) -> list[LiveAlert]:
        """By the wall clock: what an alert is depends on the log, whom it calls does not."""
        oldest_us = time.time_ns() // 1000 - self._stale_after_us
        return [LiveAlert(event, stale=event.at_us < oldest_us) for event in alerts]


T = TypeVar("T")


def _drained(queue: deque[T]) -> list[T]:
    return [queue.popleft() for _ in range(len(queue))]
