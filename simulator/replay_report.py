"""What a replay tells: the alerts in recorded time, and how they lie to the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from simulator.labels import Window
from simulator.verdict import Alert


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """alerts: in recorded time, oldest first. labels: None when none were given.

    A window is met by an alert that is raised within it; an alert within no window is false.
    """

    device_id: str
    profile: str
    samples: int
    shift_us: int
    seconds: float
    alerts: Sequence[Alert]
    labels: Sequence[Window] | None

    @property
    def met(self) -> list[bool]:
        """Of each labelled window."""
        return [
            any(_within(window, alert) for alert in self.alerts) for window in self.labels or ()
        ]

    @property
    def false_alerts(self) -> list[Alert]:
        """Empty without labels."""
        if self.labels is None:
            return []
        labels = self.labels
        return [a for a in self.alerts if not any(_within(window, a) for window in labels)]

    def to_json(self) -> dict[str, Any]:
        """For machines. Times are recorded time."""
        false = self.false_alerts
        told: dict[str, Any] = {
            "device": self.device_id,
            "profile": self.profile,
            "samples": self.samples,
            "shift_s": self.shift_us / 1e6,
            "seconds": round(self.seconds, 3),
            "alerts": [
                {"raised_at": _text(alert.raised_us), "score": alert.score} for alert in self.alerts
            ],
        }
        if self.labels is not None:
            for shown, alert in zip(told["alerts"], self.alerts, strict=True):
                shown["false"] = alert in false
            told["windows"] = [
                {"start": _text(start), "end": _text(end), "met": met}
                for (start, end), met in zip(self.labels, self.met, strict=True)
            ]
            told["windows_met"], told["false_alerts"] = sum(self.met), len(false)
        return told

    def to_text(self) -> str:
        """For people."""
        false = self.false_alerts
        head = (
            f"{self.samples:,} samples as device {self.device_id} (profile {self.profile}) in "
            f"{self.seconds:.1f} s; alerts, in recorded time:"
        )
        lines = [
            f"  {_text(alert.raised_us)}  score {alert.score:.2f}"
            + ("  outside of every labelled window" if alert in false else "")
            for alert in self.alerts
        ]
        if self.labels is not None:
            lines.append(
                f"{sum(self.met)} of {len(self.labels)} labelled windows met, "
                f"{len(false)} false alerts"
            )
        return "\n".join([head, *(lines if self.alerts else ["  none", *lines])])


def _within(window: Window, alert: Alert) -> bool:
    start_us, end_us = window
    return start_us <= alert.raised_us <= end_us


def _text(at_us: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    return at.replace(tzinfo=None).isoformat(sep=" ")
