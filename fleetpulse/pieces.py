"""Decoded records of one cohort."""

from dataclasses import dataclass

from fleetpulse.effects import F32, I64


@dataclass(frozen=True, slots=True)
class Pieces:
    """Records as pieces of consecutive slots, in log order per row.

    rows, slots (first), counts, sources (first row in `samples`), records (index in the batch):
    int64 [k]. samples: float32 [total, channels], NaN where a channel is absent.
    """

    rows: I64
    slots: I64
    counts: I64
    sources: I64
    records: I64
    samples: F32
    complete: bool
    """No NaN in `samples`."""

    def take(self, index: I64) -> "Pieces":
        """Some of them; the samples of the others stay, unused."""
        return Pieces(
            self.rows[index],
            self.slots[index],
            self.counts[index],
            self.sources[index],
            self.records[index],
            self.samples,
            self.complete,
        )
