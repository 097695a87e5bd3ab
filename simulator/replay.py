"""Sends a recorded series as if it had been measured until now, and says which alerts it raised.

Recorded time is shifted by one constant, so distances stay as they are. The constant is a whole
number of the profile's hops: windows, scores and alerts of a replay do not depend on its moment.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from fleetpulse.errors import ConfigError, InputError, RetryLater
from fleetpulse.profile import Profile
from fleetpulse.telemetry_pb2 import Batch, Telemetry
from simulator.http_client import Answer, HttpConnection
from simulator.series import Series

_BATCH_SAMPLES: Final = 500
_PACE_S: Final = 0.05
_GIVE_UP_S: Final = 60.0
_ASSIGNMENT_S: Final = 15.0
_RATE_HZ_MAX: Final = 500.0
"""Samples are sent one by one with milliseconds."""
_SPACING_TOLERANCE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Shifted:
    """A series moved by `shift_us`; the last sample is at most one hop behind `now_us`."""

    series: Series
    shift_us: int

    @classmethod
    def to(cls, series: Series, profile: Profile, now_us: int) -> "Shifted":
        """Raises InputError if the profile does not accept samples that old."""
        hop_us = profile.window.hop * profile.period_ns / 1000
        shift_us = round((now_us - int(series.t_us[-1])) // hop_us * hop_us)
        span_s = int(series.t_us[-1] - series.t_us[0]) / 1e6
        if span_s > profile.past_bound_s:
            raise InputError(
                "past_bound_s",
                f"profile {profile.ref} accepts samples up to {profile.past_bound_s:g} s old, "
                f"this series is {span_s:g} s long",
            )
        return cls(series, shift_us)

    def batches(self, device_id: str, first: int, end: int) -> Iterator[bytes]:
        """Batch messages of samples [first, end), in order."""
        for at in range(first, end, _BATCH_SAMPLES):
            rows = range(at, min(at + _BATCH_SAMPLES, end))
            yield Batch(
                telemetry=[self._sample(device_id, row) for row in rows]
            ).SerializeToString()

    def _sample(self, device_id: str, row: int) -> Telemetry:
        series = self.series
        present = {
            name: float(value)
            for name, value in zip(series.channels, series.values[row], strict=True)
            if not np.isnan(value)
        }
        ts = (int(series.t_us[row]) + self.shift_us) // 1000
        return Telemetry(device_id=device_id, ts=ts, metrics=present)


def fitting_profile(series: Series, profiles: list[Profile]) -> Profile:
    """The profile with the series' channels and spacing; raises ConfigError if none or several."""
    spacing_ns = float(np.median(np.diff(series.t_us))) * 1000 if len(series) > 1 else 0.0
    fitting = [
        profile
        for profile in profiles
        if set(series.channels) <= set(profile.channels)
        and abs(profile.period_ns - spacing_ns) <= _SPACING_TOLERANCE * profile.period_ns
    ]
    if len(fitting) == 1:
        return fitting[0]
    found = ", ".join(profile.name for profile in fitting) or "none"
    raise ConfigError(
        f"profiles for {', '.join(series.channels)} every {spacing_ns / 1e9:g} s: {found}; "
        "name one with --profile"
    )


def check_profile(series: Series, profile: Profile) -> None:
    """Raise ConfigError if the profile cannot take the series."""
    unknown = [name for name in series.channels if name not in profile.channels]
    if unknown:
        raise ConfigError(
            f"profile {profile.ref} has no channel {unknown[0]} "
            f"(it has {', '.join(profile.channels)})"
        )
    if profile.rate_hz > _RATE_HZ_MAX:
        raise ConfigError(f"profile {profile.ref}: replays are for at most {_RATE_HZ_MAX:g} Hz")


class ReplaySender:
    """Posts a shifted series, whole batches at once or in step with recorded time."""

    def __init__(self, connection: HttpConnection, stop: threading.Event) -> None:
        self._connection, self._stop = connection, stop

    def send(
        self,
        shifted: Shifted,
        device_id: str,
        speed: float | None,
        progress: Callable[[int], None],
    ) -> int:
        """speed: recorded seconds per second; None: as fast as it is accepted.

        Returns how many samples were sent before the end or `stop`.
        Raises InputError when samples are refused, RetryLater when the stack stays away.
        """
        t_us = shifted.series.t_us
        begun, sent = time.monotonic(), 0
        while sent < len(t_us) and not self._stop.is_set():
            due = len(t_us)
            if speed is not None:
                recorded_us = (time.monotonic() - begun) * speed * 1e6
                due = int(np.searchsorted(t_us, int(t_us[0]) + recorded_us, "right"))
            for body in shifted.batches(device_id, sent, due):
                # The ingest learns the device's profile from the log, a moment after it was
                # assigned; until then it may refuse the first samples.
                self._post(body, patience_s=_ASSIGNMENT_S if not sent else 0.0)
                sent = min(sent + _BATCH_SAMPLES, due)
                progress(sent)
                if self._stop.is_set():
                    return sent
            self._stop.wait(_PACE_S if due < len(t_us) else 0.0)
        return sent

    def _post(self, body: bytes, *, patience_s: float) -> None:
        begun = time.monotonic()
        while True:
            try:
                answer: Answer | None = self._connection.post("/telemetry", body)
                problem = answer.reason if answer else ""
            except RetryLater as error:
                answer, problem = None, str(error)
            if answer and answer.status == 202:
                return
            waited_s = time.monotonic() - begun
            if answer and 400 <= answer.status < 500 and answer.status != 429:
                if waited_s >= patience_s:
                    raise InputError("telemetry", problem, status=answer.status)
            elif waited_s >= _GIVE_UP_S:
                raise RetryLater(f"the stack does not accept samples: {problem}")
            self._stop.wait((answer.retry_after_s if answer else None) or 0.2)
