"""Whether a fleet notices the villains beside it, and a person learns who they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from benchmarks.figures import to_score_us
from benchmarks.report import Latency
from benchmarks.score_watch import Received
from benchmarks.windows import WindowLedger
from fleetpulse.effects import Reason
from simulator.http_client import HttpConnection

HARM_MAX: Final = 1.5
"""Times the latency of before: beyond it the neighbours are harmed."""
SLACK_MS: Final = 25.0
"""So much more harms nobody: a quarter of what passes between two commits."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Frame to score of the fleet's own devices."""

    before: Latency
    beside: Latency

    @classmethod
    def of(
        cls, received: list[Received], ledger: WindowLedger, from_us: int, joined_us: int
    ) -> Self:
        """joined_us: when the villains did; windows that end before from_us do not count."""
        before = to_score_us(received, ledger, from_us, joined_us)
        beside = to_score_us(received, ledger, max(from_us, joined_us))
        return cls(Latency.of(before), Latency.of(beside))

    @property
    def harmed(self) -> bool:
        """Whether they wait longer than before; also when nothing was measured."""
        allowed_ms = max(HARM_MAX * self.before.p99, self.before.p99 + SLACK_MS)
        return not self.beside.p99 <= allowed_ms

    def words(self) -> str:
        """For people."""
        return (
            f"frame to score of the others: p50 {self.before.p50:.0f}, p99 {self.before.p99:.0f} ms"
            f" before, p50 {self.beside.p50:.0f}, p99 {self.beside.p99:.0f} ms beside the villains"
        )


def unnamed(page: str, villains: Mapping[bytes, Reason]) -> list[str]:
    """Villains whom `GET /health` does not name; raises RetryLater when nobody answers."""
    with HttpConnection(page) as connection:
        causes = connection.get("/health").content["causes"]
    named = {(each["device"], each["cause"]) for each in causes}
    expected = {(key.decode(), str(reason)) for key, reason in villains.items()}
    return [f"{device} ({cause})" for device, cause in sorted(expected - named)]
