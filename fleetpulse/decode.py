"""Records of one cohort to pieces for its rings.

Bounds on event time and values are checked here, so that the rings see only usable samples.
Record numbers are indices into the lists handed to `decode`, which are in log order.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fleetpulse.effects import I64, Reason
from fleetpulse.frames import FrameReader, Frames, Refusal
from fleetpulse.kernel import native
from fleetpulse.layout import Layout
from fleetpulse.pieces import Pieces
from fleetpulse.profile import Profile
from fleetpulse.rates import RateAccounts

_I64_MAX = (1 << 63) - 1

Bools = NDArray[np.bool_]


class Decoder:
    """Decodes one profile's records. rates: what its devices may send; None: anything."""

    def __init__(self, profile: Profile, rates: RateAccounts | None = None) -> None:
        self._profile = profile
        self._rates = rates
        self._layout = Layout.of(profile)
        self._reader = FrameReader(profile)
        self._rule = np.array(
            [
                len(profile.channels),
                profile.revision,
                profile.block_samples_max,
                profile.period_ns,
                round(profile.future_bound_s * 1e6),
                round(profile.past_bound_s * 1e6),
            ],
            np.int64,
        )

    def decode(
        self, rows: I64, values: list[bytes], log_time_us: I64
    ) -> tuple[Pieces | None, list[Refusal]]:
        """rows, values, log_time_us: of each record. No usable record: no pieces.

        Refusals are in the order of their records.
        """
        log_time_us = np.ascontiguousarray(log_time_us)
        whole, odd = self._sliced(values, log_time_us)
        groups: list[Frames] = []
        refusals: list[Refusal] = []
        if len(odd):
            groups, refusals = self._odd(values, odd, log_time_us)
        if self._rates is not None:
            whole, groups = self._within_rate(whole, groups, rows, log_time_us, refusals)
        parts: list[Pieces] = [replace(whole, rows=rows[whole.records])] if len(whole.slots) else []
        for group in groups:
            if len(group.records):
                parts += self._placed(group, rows)
        refusals.sort(key=lambda refusal: refusal.record)
        return _in_log_order(parts), refusals

    def _sliced(self, values: list[bytes], log_time_us: I64) -> tuple[Pieces, I64]:
        """The usual frames as pieces, still without rows; and which records are other ones."""
        found = native.decode(self._rule, log_time_us, values)
        records, slots, counts, sources = (np.frombuffer(each, np.int64) for each in found[:4])
        samples = np.frombuffer(found[4], np.float32).reshape(-1, self._layout.channels)
        pieces = Pieces(records, slots, counts, sources, records, samples, complete=True)
        return pieces, np.frombuffer(found[5], np.int64)

    def _odd(
        self, values: list[bytes], odd: I64, log_time_us: I64
    ) -> tuple[list[Frames], list[Refusal]]:
        """Records that the kernel leaves: of another layout or period, or to be refused."""
        groups, found = self._reader.read([values[i] for i in odd.tolist()])
        refusals = [replace(refusal, record=int(odd[refusal.record])) for refusal in found]
        groups = [replace(group, records=odd[group.records]) for group in groups]
        return [self._admitted(g, log_time_us[g.records], refusals) for g in groups], refusals

    def _admitted(self, frames: Frames, log_time_us: I64, refusals: list[Refusal]) -> Frames:
        """Frames that are not too long, are finite, and lie within the bounds of time."""
        profile = self._profile
        n, count, _ = frames.samples.shape
        latest_us = log_time_us + round(profile.future_bound_s * 1e6)
        earliest_us = log_time_us - round(profile.past_bound_s * 1e6)
        tests: list[tuple[Bools, Reason, str]] = [
            (
                np.full(n, count > profile.block_samples_max),
                Reason.WRONG_SHAPE,
                f"count: more than {profile.block_samples_max} samples",
            ),
            (
                (frames.period_ns <= 0) & (count > 1),
                Reason.WRONG_SHAPE,
                "period_ns: must be positive and fit 63 bits",
            ),
            (_infinite(frames), Reason.NOT_FINITE, "samples: must be finite"),
            (
                _ends_after(frames, latest_us),
                Reason.FUTURE,
                f"more than {profile.future_bound_s:g} s ahead of log time",
            ),
            (
                frames.t0_us < earliest_us,
                Reason.PAST,
                f"more than {profile.past_bound_s:g} s behind log time",
            ),
        ]
        refused = np.zeros(n, bool)
        for failed, reason, detail in tests:
            new = np.flatnonzero(failed & ~refused)
            refusals += [Refusal(int(frames.records[i]), reason, detail) for i in new]
            refused |= failed
        return frames.take(np.flatnonzero(~refused)) if refused.any() else frames

    def _within_rate(
        self,
        whole: Pieces,
        groups: list[Frames],
        rows: I64,
        log_time_us: I64,
        refusals: list[Refusal],
    ) -> tuple[Pieces, list[Frames]]:
        """What its devices may still send."""
        assert self._rates is not None
        counts = whole.counts
        if len(whole.records) < len(rows):
            counts = np.zeros(len(rows), np.int64)
            counts[whole.records] = whole.counts
            for group in groups:
                counts[group.records] = group.samples.shape[1]
        refused = self._rates.refused(rows, counts, log_time_us)
        if not refused.any():
            return whole, groups
        refusals += [
            Refusal(record, Reason.OVER_RATE, f"{self._profile.ref} allows {self._rates.allowed}")
            for record in np.flatnonzero(refused).tolist()
        ]
        return (
            whole.take(np.flatnonzero(~refused[whole.records])),
            [group.take(np.flatnonzero(~refused[group.records])) for group in groups],
        )

    def _placed(self, frames: Frames, rows: I64) -> Iterator[Pieces]:
        """Frames of the profile's period are consecutive slots; others find theirs by time."""
        if frames.samples.shape[1] == 1:
            yield self._on_grid(frames, rows)
            return
        aligned = frames.period_ns == self._layout.period_ns
        if aligned.all():
            yield self._on_grid(frames, rows)
            return
        if aligned.any():
            yield self._on_grid(frames.take(np.flatnonzero(aligned)), rows)
            frames = frames.take(np.flatnonzero(~aligned))
        steps = np.arange(frames.samples.shape[1])
        t_ns = frames.t0_us[:, None] * 1000 + steps * frames.period_ns[:, None]
        slots = self._layout.slots_of(t_ns)
        near = slots[:, -1] - slots[:, 0] < self._profile.block_samples_max
        for chosen, placed in ((near, _with_gaps), (~near, _one_by_one)):
            at = np.flatnonzero(chosen)
            if len(at):
                yield placed(frames.take(at), slots[at], rows)

    def _on_grid(self, frames: Frames, rows: I64) -> Pieces:
        n, count, channels = frames.samples.shape
        samples = frames.samples.reshape(n * count, channels)
        return Pieces(
            rows[frames.records],
            self._layout.slots_of(frames.t0_us * 1000),
            np.full(n, count, np.int64),
            np.arange(n) * count,
            frames.records,
            samples,
            not (frames.partial and bool(np.isnan(samples).any())),
        )


def _infinite(frames: Frames) -> Bools:
    """Frames with a value that no sensor sends."""
    if frames.partial:
        return np.zeros(len(frames.records), bool)
    finite = np.isfinite(frames.samples)
    if finite.all():
        return np.zeros(len(frames.records), bool)
    return np.asarray(~finite.all(axis=(1, 2)))


def _ends_after(frames: Frames, latest_us: I64) -> Bools:
    """Frames whose newest sample is later; a hostile period times a count may not fit 64 bits."""
    after = frames.t0_us > latest_us
    count = frames.samples.shape[1]
    if count > 1:
        begin_us = np.maximum(frames.t0_us, latest_us - _I64_MAX // 1000)
        after |= frames.period_ns > (latest_us - begin_us) * 1000 // (count - 1)
    return after


def _with_gaps(frames: Frames, slots: I64, rows: I64) -> Pieces:
    """One piece per frame, absent where no sample falls; of several in a slot the first counts."""
    counts = slots[:, -1] - slots[:, 0] + 1
    sources = np.cumsum(counts) - counts
    samples = np.full((int(counts.sum()), frames.samples.shape[2]), np.nan, np.float32)
    at = slots - slots[:, :1] + sources[:, None]
    first = _first_in_slot(slots)
    samples[at.ravel()[first]] = frames.samples.reshape(-1, samples.shape[1])[first]
    complete = not np.isnan(samples).any()
    return Pieces(
        rows[frames.records], slots[:, 0], counts, sources, frames.records, samples, complete
    )


def _one_by_one(frames: Frames, slots: I64, rows: I64) -> Pieces:
    """One piece per sample; of several in a slot the first counts."""
    n, count, channels = frames.samples.shape
    sources = _first_in_slot(slots)
    records = np.repeat(frames.records, count)[sources]
    return Pieces(
        rows[records],
        slots.ravel()[sources],
        np.ones(len(sources), np.int64),
        sources,
        records,
        frames.samples.reshape(n * count, channels),
        complete=True,
    )


def _first_in_slot(slots: I64) -> I64:
    """Flat indices of the samples that are the first of their frame in their slot."""
    return np.flatnonzero(np.diff(slots, axis=1, prepend=slots[:, :1] - 1))


def _in_log_order(parts: list[Pieces]) -> Pieces | None:
    if len(parts) <= 1:
        return parts[0] if parts else None
    bases = np.cumsum([0] + [len(part.samples) for part in parts[:-1]])
    records = np.concatenate([part.records for part in parts])
    order = np.argsort(records, kind="stable")
    sources = np.concatenate([p.sources + b for p, b in zip(parts, bases, strict=True)])
    return Pieces(
        np.concatenate([part.rows for part in parts])[order],
        np.concatenate([part.slots for part in parts])[order],
        np.concatenate([part.counts for part in parts])[order],
        sources[order],
        records[order],
        np.concatenate([part.samples for part in parts]),
        all(part.complete for part in parts),
    )
