"""Whether an alert comes too late to call a person for. No part of any result: it depends on when
the alert is told, the alert itself on the log alone.
"""


def is_stale(at_us: int, told_us: int, stale_after_s: float) -> bool:
    """at_us: event time of what happened; told_us: wall clock when it is told."""
    return told_us - at_us > stale_after_s * 1e6
