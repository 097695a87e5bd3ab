"""What became of the samples that a target was given."""

import threading
from collections import Counter
from dataclasses import dataclass, field

from simulator.latency import LatencyHistogram


@dataclass(frozen=True, slots=True)
class Counts:
    """Samples by outcome. refused: the input was wrong; failed: given up after retries."""

    sent: int
    accepted: int
    refused: int
    failed: int
    reasons: dict[str, int]
    """Batches refused or failed, by reason."""
    retries: int
    latency_ms: dict[str, float]


@dataclass(slots=True)
class Tally:
    """Counted by sender threads, read by whoever reports. After `settle` it stays as it is."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    retries: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    settled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_sent(self, samples: int) -> None:
        """Samples handed to the target."""
        with self._lock:
            self.sent += samples

    def add_accepted(self, samples: int, duration_s: float) -> None:
        """Samples acknowledged, and how long that took."""
        with self._lock:
            if not self.settled:
                self.accepted += samples
                self.latency.add(duration_s)

    def add_refused(self, samples: int, reason: str) -> None:
        """Samples that the receiver said no to."""
        with self._lock:
            if not self.settled:
                self.refused += samples
                self.reasons[reason] += 1

    def add_failed(self, samples: int, reason: str) -> None:
        """Samples given up."""
        with self._lock:
            if not self.settled:
                self.failed += samples
                self.reasons[reason] += 1

    def add_retry(self) -> None:
        """A request that is made again."""
        with self._lock:
            self.retries += 1

    def settle(self) -> None:
        """The run is over: what has no outcome yet failed."""
        with self._lock:
            open_samples = self.sent - self.accepted - self.refused - self.failed
            if open_samples and not self.settled:
                self.failed += open_samples
                self.reasons["no answer before the end"] += 1
            self.settled = True

    def counts(self) -> Counts:
        """A consistent copy."""
        with self._lock:
            return Counts(
                self.sent,
                self.accepted,
                self.refused,
                self.failed,
                dict(self.reasons.most_common()),
                self.retries,
                self.latency.milliseconds(),
            )
