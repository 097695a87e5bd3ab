"""How many records a shard takes at once.

A step's price beside its records is shared by them, and what they bring should stay in a core's
caches between its passes. Both are a matter of bytes: small records come in larger steps.
"""

from typing import Final

from fleetpulse.identity import TICK_KEY
from fleetpulse.ports import RecordBatch

_LOOKED_AT: Final = 32
"""Records of a batch whose sizes stand for all: summing all sizes costs as much as a pass."""
_RECORDS_MAX: Final = 100_000


class StepSize:
    """records_max: of the next step, from the sizes that the newest batch had."""

    def __init__(self, records_max: int, bytes_max: int) -> None:
        """records_max: of any size. bytes_max: up to so many, there are more if they are small."""
        self.records_max = records_max
        self._least = records_max
        self._bytes_max = bytes_max

    def polled(self, batch: RecordBatch) -> None:
        """A poll came back; one without devices' records says nothing."""
        every = -(-len(batch) // _LOOKED_AT) or 1
        looked_at = zip(batch.keys[::every], batch.values[::every], strict=True)
        sizes = [len(key) + len(value) for key, value in looked_at if key != TICK_KEY]
        if sizes:
            fitting = self._bytes_max * len(sizes) // max(1, sum(sizes))
            self.records_max = max(self._least, min(fitting, _RECORDS_MAX))
