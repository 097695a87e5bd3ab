"""Partitions are tended again and again, whatever happens to one round."""

from queue import Queue

from actors.partition_keeper import PartitionKeeper
from fleetpulse.errors import DatabaseUnavailable


class Rounds:
    """Fails in its first two."""

    def __init__(self) -> None:
        self.begun: Queue[int] = Queue()
        self.count = 0

    def tend(self) -> list[str]:
        self.count += 1
        self.begun.put(self.count)
        if self.count == 1:
            raise DatabaseUnavailable("database: away", retry_after_s=1)
        if self.count == 2:
            raise ValueError("a fault of ours")
        return ["rollup_minute_2026_01_01"]


def test_a_failing_round_does_not_end_the_keeper() -> None:
    rounds = Rounds()
    keeper = PartitionKeeper(rounds, interval_s=0.01)
    try:
        assert [rounds.begun.get(timeout=10) for _ in range(4)] == [1, 2, 3, 4]
    finally:
        keeper.close()
    assert not keeper._thread.is_alive()
