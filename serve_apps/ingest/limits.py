"""How much of a device this replica accepts: the profile's rate limit, measured in real time.

The core measures the same in log time and refuses for good; here it is only put off. So this side
is the stricter one: half the burst, and each of several replicas a part of the factor.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from fleetpulse.errors import RetryLater
from fleetpulse.profile import Profile
from fleetpulse.rates import burst_ns, sample_cost_ns

ACCOUNTS_MAX: Final = 200_000
FACTOR_MIN: Final = 2.0
"""Of a replica: a device that keeps to one of them must still be able to catch up."""


class Allowance(NamedTuple):
    """What a device's sample costs here, and how far ahead of now it may be; cost 0: no limit."""

    cost_ns: int
    burst_ns: int


class Charge(NamedTuple):
    """What a record costs its device. key: the record's."""

    key: bytes
    samples: int
    allowance: Allowance


NO_LIMIT: Final = Allowance(0, 0)


class OverRate(RetryLater):
    """Some records of a request were put off. accepted: how many were not."""

    def __init__(self, device_id: str, accepted: int, refused: list[int], after_s: float) -> None:
        super().__init__("sends more than its profile allows", retry_after_s=after_s)
        self.device_id = device_id
        self.accepted = accepted
        self.refused = refused


def allowance(profile: Profile | None, replicas: int) -> Allowance:
    """Of a device with this profile, at one of several replicas."""
    limit = profile.rate_limit if profile else None
    if profile is None or limit is None:
        return NO_LIMIT
    share = max(limit.factor / replicas, min(FACTOR_MIN, limit.factor))
    cost_ns = max(1, round(sample_cost_ns(profile, limit) * limit.factor / share))
    longest_ns = profile.block_samples_max * cost_ns
    return Allowance(cost_ns, max(burst_ns(profile, limit) // 2 // replicas, longest_ns))


class RateAccounts:
    """By record key; those that are used up to now are forgotten when there are too many."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._paid_ns: dict[bytes, int] = {}

    def charge(self, charges: Sequence[Charge]) -> dict[int, float]:
        """Those put off, by index, with the seconds to wait."""
        now_ns = self._clock_ns()
        paid, put_off = self._paid_ns, {}
        for index, (key, samples, (cost_ns, burst)) in enumerate(charges):
            if not cost_ns:
                continue
            after_ns = max(paid.get(key, 0), now_ns) + samples * cost_ns
            if after_ns > now_ns + burst:
                put_off[index] = (after_ns - now_ns - burst) / 1e9
            else:
                paid[key] = after_ns
        if len(paid) > ACCOUNTS_MAX:
            self._make_room(now_ns)
        return put_off

    def give_back(self, charges: Sequence[Charge]) -> None:
        """The log did not take them: they will be sent again."""
        for key, samples, (cost_ns, _) in charges:
            if key in self._paid_ns:
                self._paid_ns[key] -= samples * cost_ns

    def _make_room(self, now_ns: int) -> None:
        ahead = {key: paid for key, paid in self._paid_ns.items() if paid > now_ns}
        newest = list(ahead.items())[-ACCOUNTS_MAX // 2 :]
        self._paid_ns = dict(newest)
