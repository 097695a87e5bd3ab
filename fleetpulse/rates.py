"""How much of what a device sends is taken: an account per device, in nanoseconds of log time.

The generic cell rate algorithm: each sample costs the time it lasts at the highest rate allowed,
and a device may be ahead of log time by its burst. Integers only, and each record is judged by
those before it, so that the answer does not depend on where batches are cut.
"""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import NEVER, Column, Columns
from fleetpulse.effects import I64
from fleetpulse.profile import Profile, RateLimit

Bools = NDArray[np.bool_]
_ROUNDING = 1e-9
"""More than what summing in floats is wrong by."""


def sample_cost_ns(profile: Profile, limit: RateLimit) -> int:
    """What a sample costs."""
    return max(1, round(profile.period_ns / limit.factor))


def burst_ns(profile: Profile, limit: RateLimit) -> int:
    """How far a device's account may be ahead of log time; two frames always fit."""
    samples = max(ceil(limit.burst_s * 1e9 / profile.period_ns), profile.run_slots)
    return samples * sample_cost_ns(profile, limit)


class RateAccounts(Columns):
    """paid_ns: int64 [rows], the log time up to which a device has used what it may send."""

    paid_ns: I64

    def __init__(self, profile: Profile, limit: RateLimit) -> None:
        super().__init__({"paid_ns": Column(np.int64, (), NEVER)})
        self._cost_ns = sample_cost_ns(profile, limit)
        self._burst_ns = burst_ns(profile, limit)
        self.allowed = f"{limit.factor:g} times {profile.rate_hz:g} Hz"

    def refused(self, rows: I64, counts: I64, log_time_us: I64) -> Bools:
        """Which records are beyond their device's limit; the others are charged.

        counts: samples of each record, 0 if it is refused already. Records are in log order per
        row.
        """
        order = np.argsort(rows, kind="stable")
        ordered, time_ns = rows[order], log_time_us[order] * 1000
        cost_ns = counts[order] * self._cost_ns
        begins = np.concatenate(([True], ordered[1:] != ordered[:-1]))
        starts = np.flatnonzero(begins)
        devices, first_ns = ordered[starts], time_ns[starts]
        paid_ns = np.maximum(self.paid_ns[devices], first_ns)
        # As if all came with the first: more than enough to see that nothing is to refuse.
        # In floats, because the costs of a hostile batch may not fit 64 bits.
        ahead_ns = paid_ns - first_ns + np.add.reduceat(cost_ns.astype(np.float64), starts)
        near = ahead_ns > self._burst_ns * (1 - _ROUNDING)
        refused = np.zeros(len(rows), bool)
        if len(starts) == len(rows):
            after_ns = paid_ns + cost_ns
        else:
            after_ns = _charged(paid_ns, time_ns, cost_ns, starts)
        if not near.any():
            self.paid_ns[devices] = after_ns
            return refused
        self.paid_ns[devices[~near]] = after_ns[~near]
        ends = np.append(starts[1:], len(rows))
        for at in np.flatnonzero(near).tolist():
            mine = slice(int(starts[at]), int(ends[at]))
            refused[order[mine]] = self._judged(int(devices[at]), time_ns[mine], cost_ns[mine])
        return refused

    def _judged(self, row: int, time_ns: I64, cost_ns: I64) -> list[bool]:
        """Record by record; what is refused costs nothing."""
        refused = []
        paid_ns = int(self.paid_ns[row])
        for now_ns, cost in zip(time_ns.tolist(), cost_ns.tolist(), strict=True):
            after_ns = max(paid_ns, now_ns) + cost
            over = after_ns - now_ns > self._burst_ns
            refused.append(over)
            paid_ns = paid_ns if over else after_ns
        self.paid_ns[row] = paid_ns
        return refused


def _charged(paid_ns: I64, time_ns: I64, cost_ns: I64, starts: I64) -> I64:
    """What taking all records of each device leaves it at.

    One by one it would be paid = max(paid, time) + cost: the largest of these maxima decides, and
    everything behind it is paid in addition.
    """
    total_ns = np.cumsum(cost_ns)
    before_ns = total_ns - cost_ns
    ends = np.append(starts[1:], len(cost_ns)) - 1
    sizes = ends + 1 - starts
    rest_ns = np.repeat(total_ns[ends], sizes) - before_ns
    latest_ns = np.maximum.reduceat(time_ns + rest_ns, starts)
    return np.asarray(np.maximum(paid_ns + rest_ns[starts], latest_ns))
