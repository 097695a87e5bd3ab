"""The search for the highest rate that holds."""

import pytest

from benchmarks.rates import RATE_MAX, TOLERANCE, highest


@pytest.mark.parametrize("limit", [50_000, 199_000, 200_000, 313_000, 1_000_000])
def test_the_search_ends_just_below_the_limit(limit: float) -> None:
    tried: list[float] = []

    def holds(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    found = highest(holds, 200_000)
    assert limit / (1 + TOLERANCE) <= found <= limit
    assert found in tried, "what is reported was measured"
    assert len(tried) == len(set(tried)) <= 13, "each run takes its time"


def test_nothing_holds_and_everything_holds() -> None:
    assert highest(lambda _: False, 200_000) == 0
    assert highest(lambda _: True, 200_000) > RATE_MAX / 2
