"""How far the next view is behind the log."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecomputeStatus:
    """Jobs by state, and the next view's distance from the log's head.

    following: promoted, but a bucket is open that live must not close. tether_s: age of the oldest
    mark that nothing was promoted for. tether_records: log records behind the oldest computation.
    outbox: corrections that Kafka does not have yet.
    """

    marked: int
    computing: int
    following: int
    failed: int
    outbox: int
    tether_s: float
    tether_records: int
    problem: str = ""
    """Why the controller cannot work now."""
