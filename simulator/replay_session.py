"""One replay from the first sample to the report."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fleetpulse.errors import RetryLater
from fleetpulse.profile import Profile
from simulator.api import Api
from simulator.http_client import HttpConnection
from simulator.labels import Window
from simulator.replay import ReplaySender, Shifted
from simulator.replay_report import ReplayReport
from simulator.series import Series

Assign = Callable[[str, Profile], None]
"""Makes the profile known and gives it to the device, durably."""

_NAMES_MAX: Final = 1000
_POLL_S: Final = 0.2
_STALLED_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Replay:
    """A series on its way through the running stack."""

    series: Series
    profile: Profile
    labels: Sequence[Window] | None
    speed: float | None

    def run(
        self,
        connection: HttpConnection,
        device_id: str,
        assign: Assign,
        stop: threading.Event,
        progress: Callable[[int], None],
    ) -> ReplayReport:
        """Assign, send, wait until it is processed, fetch the alerts. The device must be new."""
        api = Api(connection, stop)
        begun = time.monotonic()
        shifted = Shifted.to(self.series, self.profile, time.time_ns() // 1000)
        assign(device_id, self.profile)
        sent = ReplaySender(connection, stop).send(shifted, device_id, self.speed, progress)
        if sent:
            last_us = int(self.series.t_us[sent - 1]) + shifted.shift_us
            # The device tells the slot of its newest sample, which may begin half a period before.
            slot_us = self.profile.period_ns // 1000
            _wait_processed(api, device_id, last_us - slot_us, stop)
        first_us = int(self.series.t_us[0]) + shifted.shift_us
        alerts = api.settled_alerts(first_us, device_id)
        return ReplayReport(
            device_id=device_id,
            profile=self.profile.ref,
            samples=sent,
            shift_us=shifted.shift_us,
            seconds=time.monotonic() - begun,
            alerts=[replace(a, raised_us=a.raised_us - shifted.shift_us) for a in alerts],
            labels=self.labels,
        )


def free_name(api: Api, wanted: str) -> str:
    """`wanted`, or `wanted-2`, `wanted-3`, … if it has sent before.

    A second replay lies over the first one in event time: its samples would be late or taken for
    duplicates, so it needs a device of its own.
    """
    for number in range(1, _NAMES_MAX):
        name = wanted if number == 1 else f"{wanted}-{number}"
        if not api.knows(name):
            return name
    raise RetryLater(f"{wanted} was replayed {_NAMES_MAX} times; give another --device")


def _wait_processed(api: Api, device_id: str, until_us: int, stop: threading.Event) -> None:
    newest: int | None = None
    moved = time.monotonic()
    while not stop.is_set():
        found = api.newest_us(device_id)
        if found is not None and found > until_us:
            return
        if found != newest:
            newest, moved = found, time.monotonic()
        if time.monotonic() - moved > _STALLED_S:
            raise RetryLater(
                f"{device_id} was accepted, but not processed for {_STALLED_S:g} s; "
                "`fleetpulse status` shows why"
            )
        stop.wait(_POLL_S)
