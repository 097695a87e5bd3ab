"""A device's samples put in order: of each cell the first value in the log, however late it came.

Samples wait until nothing that is on time can come before them. Records that come late are known
beforehand and join the samples of their time.
"""

from collections.abc import Callable, Iterable

import numpy as np

from fleetpulse.cohort import Cohort
from fleetpulse.columns import NEVER
from fleetpulse.decode import Decoder
from fleetpulse.effects import F32, I64, Effects
from fleetpulse.outcome import add_effects
from fleetpulse.pieces import Pieces
from fleetpulse.ports import Scorer
from fleetpulse.profile import Profile
from fleetpulse.ragged import in_turns, ragged_range
from fleetpulse.retirement import close, end_sessions

WAITING_MAX = 8192
"""Samples that may wait; then those that nothing can precede are handed on."""
Watch = Callable[[Profile, I64, F32], None]
"""Is shown slots in ascending order, and their samples, NaN where a channel has none."""


def unwatched(profile: Profile, slots: I64, samples: F32) -> None:
    """Nobody looks."""


class Repair:
    """One life of a device, in order, through a cohort of its own."""

    def __init__(
        self,
        key: bytes,
        partition: int,
        profile: Profile,
        scorer: Scorer,
        *,
        hold_slots: int,
        breaks: Iterable[int] = (),
        watch: Watch = unwatched,
    ) -> None:
        """hold_slots: how far behind the newest sample one may come without being expected.

        breaks: seconds before which silences end sessions.
        """
        self.cohort = Cohort(profile)
        self.row = self.cohort.add(key, partition)
        self._decoder = Decoder(profile)
        self._scorer = scorer
        self._hold = hold_slots
        self._breaks = np.sort(np.fromiter(breaks, np.int64))
        self._watch = watch
        self._waiting = [_Samples.none(len(profile.channels))]
        self._late = _Samples.none(len(profile.channels))
        self._head = NEVER
        self._handed_on = NEVER

    def expect(self, offsets: I64, log_time_us: I64, values: list[bytes]) -> None:
        """Records that will come late; call it before `take`."""
        samples = self._decoded(offsets, log_time_us, values)
        self._late = samples.take(np.argsort(samples.slots, kind="stable"))

    def take(self, offsets: I64, log_time_us: I64, values: list[bytes]) -> Effects:
        """Records in log order; answers what closed."""
        effects = Effects()
        samples = self._decoded(offsets, log_time_us, values)
        samples = samples.take(np.flatnonzero(samples.slots >= self._handed_on))
        if len(samples.slots):
            self._waiting.append(samples)
            self._head = max(self._head, int(samples.slots.max()) + 1)
        if sum(len(each.slots) for each in self._waiting) > WAITING_MAX:
            self._hand_on(self._head - self._hold, effects)
        return effects

    def finish(self, *, ended: bool, silent: bool = False) -> Effects:
        """Hand on the rest. ended: the device went on under another profile.

        silent: it is offline. If this profile waits longer than the one that heard the silence,
        no sample may ever come that closes the seconds before the break.
        """
        effects, rows = Effects(), np.array([self.row])
        self._hand_on(_END, effects)
        if ended:
            close(effects, self.cohort, rows)
        elif silent:
            end_sessions(effects, self.cohort, rows)
        return effects

    def _decoded(self, offsets: I64, log_time_us: I64, values: list[bytes]) -> "_Samples":
        pieces = None
        if values:
            rows = np.full(len(values), self.row, np.int64)
            pieces, _ = self._decoder.decode(rows, values, log_time_us)
        if pieces is None:
            return _Samples.none(self.cohort.layout.channels)
        samples = pieces.samples[ragged_range(pieces.sources, pieces.counts)]
        found = _Samples(
            ragged_range(pieces.slots, pieces.counts),
            np.repeat(offsets[pieces.records], pieces.counts),
            samples,
        )
        return found if pieces.complete else found.take(_present(samples))

    def _hand_on(self, limit: int, effects: Effects) -> None:
        """Everything below `limit`, in order."""
        due = int(np.searchsorted(self._late.slots, limit))
        late = self._late.take(np.arange(due))
        self._late = self._late.take(np.arange(due, len(self._late.slots)))
        waiting = _Samples.joined([late, *self._waiting])
        ready = waiting.slots < limit
        self._waiting = [waiting.take(np.flatnonzero(~ready))]
        self._handed_on = max(self._handed_on, limit)
        slots, samples = waiting.take(np.flatnonzero(ready)).merged()
        for begin in range(0, len(slots), WAITING_MAX):
            end = begin + WAITING_MAX
            self._absorb(slots[begin:end], samples[begin:end], effects)

    def _absorb(self, slots: I64, samples: F32, effects: Effects) -> None:
        cohort = self.cohort
        self._watch(cohort.profile, slots, samples)
        cohort.absorb(_pieces(self.row, slots, samples, cohort.profile.block_samples_max))
        self._break_off()
        windows = cohort.closed_windows()
        if cohort.zscores is not None:
            scores = cohort.zscores.score(windows.rows, windows.samples)
        elif len(windows.rows):
            scores = self._scorer.score(cohort.profile.scorer, windows.samples)
        else:
            scores = np.empty(0, np.float32)
        add_effects(effects, cohort, cohort.conclude(windows, scores))

    def _break_off(self) -> None:
        """Let silences end sessions, as soon as all seconds before them have closed."""
        settled = self.cohort.rings.settled[[self.row]]
        now_s = int(self.cohort.layout.second_of(settled)[0])
        due = int(np.searchsorted(self._breaks, now_s, side="right"))
        if due:
            self.cohort.break_off(np.full(due, self.row, np.int64), self._breaks[:due])
            self._breaks = self._breaks[due:]


_END = np.iinfo(np.int64).max


class _Samples:
    """slots, offsets: int64 [n]; samples: float32 [n, channels], NaN where absent."""

    def __init__(self, slots: I64, offsets: I64, samples: F32) -> None:
        self.slots = slots
        self.offsets = offsets
        self.samples = samples

    @classmethod
    def none(cls, channels: int) -> "_Samples":
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, np.empty((0, channels), np.float32))

    @classmethod
    def joined(cls, parts: list["_Samples"]) -> "_Samples":
        return cls(
            np.concatenate([part.slots for part in parts]),
            np.concatenate([part.offsets for part in parts]),
            np.concatenate([part.samples for part in parts]),
        )

    def take(self, index: I64) -> "_Samples":
        return _Samples(self.slots[index], self.offsets[index], self.samples[index])

    def merged(self) -> tuple[I64, F32]:
        """Distinct slots in order, and of each channel the value with the lowest offset."""
        ordered = self.take(np.lexsort((self.offsets, self.slots)))
        slots, of_slot = np.unique(ordered.slots, return_inverse=True)
        merged = np.full((len(slots), self.samples.shape[1]), np.nan, np.float32)
        for turn in in_turns(of_slot):
            at = of_slot[turn]
            held = merged[at]
            merged[at] = np.where(np.isnan(held), ordered.samples[turn], held)
        return slots, merged


def _present(samples: F32) -> I64:
    return np.flatnonzero(~np.isnan(samples).all(axis=1))


def _pieces(row: int, slots: I64, samples: F32, longest: int) -> Pieces:
    """Ascending slots as frames that a device could have sent."""
    n = len(slots)
    gap = np.concatenate(([True], np.diff(slots) != 1))
    first = np.flatnonzero(gap)
    within = np.arange(n) - first[np.cumsum(gap) - 1]
    begins = np.flatnonzero(within % longest == 0)
    counts = np.diff(np.append(begins, n))
    return Pieces(
        np.full(len(begins), row, np.int64),
        slots[begins],
        counts,
        begins,
        np.arange(len(begins)),
        samples,
        not bool(np.isnan(samples).any()),
    )
