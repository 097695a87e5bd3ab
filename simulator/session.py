"""One simulated run from the first frame to the report."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

from fleetpulse.errors import FleetpulseError
from simulator.fleet import Fleet
from simulator.pacing import Pacer
from simulator.report import Report, illnesses
from simulator.targets.target import Target
from simulator.verdict import GRACE_US, Alert, judge

_DRAIN_S: Final = 15.0
"""For what is under way when a run ends by itself."""
_INTERRUPTED_DRAIN_S: Final = 2.0
_NOTICEABLE_S: Final = 3.0
"""Illnesses that began less than this before the end cannot be missed."""

FetchAlerts = Callable[[Fleet], Sequence[Alert]]


def simulate(
    fleet: Fleet,
    target: Target,
    *,
    rounds: int | None,
    stop: threading.Event,
    progress: Callable[[int], None],
    fetch_alerts: FetchAlerts | None,
) -> Report:
    """Run until `rounds` are sent or `stop` is set, then wait for answers and judge the alerts."""
    try:
        run = Pacer(fleet, target, stop).run(rounds, progress)
    finally:
        target.close(_INTERRUPTED_DRAIN_S if stop.is_set() else _DRAIN_S)
    verdict, missing = None, "this target has no API"
    if fetch_alerts:
        try:
            noticeable = round(_NOTICEABLE_S * fleet.spec.rate_hz)
            happened = illnesses(fleet, run.rounds, noticeable)
            verdict, missing = judge(happened, fetch_alerts(fleet), GRACE_US), ""
        except FleetpulseError as error:
            missing = str(error)
    return Report(
        devices=fleet.spec.devices,
        run=run,
        counts=target.tally.counts(),
        transport=fleet.transport_truth,
        verdict=verdict,
        verdict_missing=missing,
    )
