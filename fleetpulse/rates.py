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
from fleetpulse.kernel import native
from fleetpulse.profile import Profile, RateLimit

Bools = NDArray[np.bool_]


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
        refused = np.zeros(len(rows), bool)
        native.charge(
            rows, counts, log_time_us, self.paid_ns, refused, self._cost_ns, self._burst_ns
        )
        return refused
