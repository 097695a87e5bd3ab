"""Where a partition continues, when the broker that is asked does not know the log's end."""

from collections.abc import Sequence

import pytest

from actors import recovery
from actors.recovery import LogBounds, confirmed, resume
from fleetpulse.errors import BrokerUnavailable, PartitionStopped
from fleetpulse.ports import Claim

CLAIMS = {"alerts": Claim(1, 7), "kafka": Claim(1, 5)}


class Brokers:
    """A leader that stood still while another was chosen; then the other."""

    def __init__(self, *ends: int) -> None:
        self._ends = list(ends)

    def bounds(self, partitions: Sequence[int]) -> dict[int, LogBounds]:
        end = self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]
        return {partition: LogBounds("t", 0, end) for partition in partitions}


def bounds(*ends: int, stopped: bool = False) -> LogBounds:
    written = {3: recovery.written_until(None, CLAIMS)}
    return confirmed(Brokers(*ends).bounds, written, lambda _: stopped)[3]


def test_a_leader_that_was_replaced_is_not_believed() -> None:
    found = bounds(6, 6, 9)
    assert found.high == 9
    assert resume(3, None, CLAIMS, found).sinks["alerts"].next_offset == 7


def test_a_log_that_stays_short_stops_its_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "CONFIRM_S", 0.01)
    with pytest.raises(PartitionStopped, match="offset 7, beyond the log's end at 6"):
        resume(3, None, CLAIMS, bounds(6))


def test_nothing_is_concluded_of_a_partition_without_a_leader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert bounds(-1001, 9).high == 9
    monkeypatch.setattr(recovery, "CONFIRM_S", 0.01)
    with pytest.raises(BrokerUnavailable, match="no leader"):
        bounds(-1001)


def test_a_shard_that_is_stopped_does_not_ask_on() -> None:
    assert bounds(6, 9, stopped=True).high == 6
