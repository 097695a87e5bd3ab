"""The samples of a cohort: one ring of slots per device, and the frontier up to which it is final.

Invariants per device, checked by tests after each step:
- the ring is valid for slots [head - ring, head); NaN marks an absent value
- a slot below the watermark (head - lateness) never changes again
- settled = first incomplete slot at or above the watermark, at most head: below it nothing changes
- every incomplete slot of the ring lies at or below `last_missing`
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace

import numpy as np

from fleetpulse.columns import NEVER, Arrays, Column, Columns
from fleetpulse.effects import F32, I64
from fleetpulse.kernel import Raw, native
from fleetpulse.layout import Layout
from fleetpulse.pieces import Pieces
from fleetpulse.profile import Profile


@dataclass(frozen=True, slots=True)
class Closed:
    """What came out of absorbing: int64 but for samples and statistics, as the kernel wrote it.

    late: pieces with samples that came too late; moved: rows whose frontier moved; events: windows
    as k and seconds as ~k, in each row's order of end, windows before seconds at equal ends.
    """

    late: Raw
    moved: Raw
    events: Raw
    window_rows: Raw
    window_ends: Raw
    window_samples: Raw
    second_rows: Raw
    second_index: Raw
    second_count: Raw
    second_min: Raw
    second_max: Raw
    second_mean: Raw
    second_m2: Raw


def joined(parts: Sequence[Closed]) -> Closed:
    """What came out of all of them, in order."""
    if len(parts) == 1:
        return parts[0]
    columns = [[bytes(getattr(part, each.name)) for part in parts] for each in fields(Closed)]
    whole = Closed(*map(b"".join, columns))
    events, windows, seconds = [np.empty(0, np.int64)], 0, 0
    for part in parts:
        mine = np.frombuffer(part.events, np.int64)
        events.append(np.where(mine >= 0, mine + windows, mine - seconds))
        at_windows = int(np.count_nonzero(mine >= 0))
        windows, seconds = windows + at_windows, seconds + len(mine) - at_windows
    return replace(whole, events=np.concatenate(events))


def without_history(profile: Profile, rows: Arrays) -> Arrays:
    """A cohort's exported rows without the values that nothing will read again.

    What lies before every unit that can still close is only remembered as filled.
    """
    layout = Layout.of(profile)
    ring = rows["rings.ring"]
    head = rows["rings.head"].astype(np.int64)[:, None]
    settled = rows["rings.settled"].astype(np.int64)[:, None]
    slot = head - 1 - (head - 1 - np.arange(layout.ring)) % layout.ring
    history = (slot < settled - layout.unit)[:, :, None]
    return {**rows, "rings.ring": np.where(history & ~np.isnan(ring), np.float32(0), ring)}


class Rings(Columns):
    """ring: float32 [rows, slots, channels]; head, settled, last_missing: int64 [rows]."""

    ring: F32
    head: I64
    settled: I64
    last_missing: I64

    def __init__(self, layout: Layout) -> None:
        super().__init__(
            {
                "ring": Column(np.float32, (layout.ring, layout.channels), np.nan),
                "head": Column(np.int64, (), NEVER),
                "settled": Column(np.int64, (), NEVER),
                "last_missing": Column(np.int64, (), NEVER),
            }
        )
        self.layout = layout
        self._sizes = np.array(astuple(layout), np.int64)

    def gather(self, rows: I64, slots: I64, count: int) -> F32:
        """Copy slots [slot, slot + count) of each row: float32 [n, count, channels]."""
        flat = self.ring.reshape(-1, self.layout.channels)
        at = (slots[:, None] + np.arange(count)) % self.layout.ring
        return flat[rows[:, None] * self.layout.ring + at]

    def absorb(self, pieces: Pieces, phases: I64, coverage_min: float) -> Closed:
        """Apply records in each device's order; answers what closed.

        Records with samples below the watermark are processed but for these, and are named in
        `late`. phases: of each row's windows.
        """
        return Closed(
            *native.absorb(
                self.ring,
                self.head,
                self.settled,
                self.last_missing,
                phases,
                self._sizes,
                np.ascontiguousarray(pieces.rows),
                np.ascontiguousarray(pieces.slots),
                np.ascontiguousarray(pieces.counts),
                np.ascontiguousarray(pieces.sources),
                np.ascontiguousarray(pieces.samples),
                pieces.complete,
                coverage_min,
            )
        )
