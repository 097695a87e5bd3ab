"""The device engine: records in, effects out. It decides; it does no I/O and reads no clock.

One batch is two calls: `step` takes the records and answers the windows that closed, the shell
runs the models, `conclude` takes the scores and answers the effects. What comes out over a
partition's life is a function of its records alone, wherever batches are cut.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fleetpulse.cohort import ClosedWindows, Cohort
from fleetpulse.columns import NEVER
from fleetpulse.control import ControlState, Resolved, matching, may_differ
from fleetpulse.directory import ABSENT, Directory
from fleetpulse.effects import (
    F32,
    I64,
    DeviceSeen,
    Effects,
    Reason,
    Rejection,
    SavepointAsked,
    WindowBatch,
)
from fleetpulse.errors import InputError, Refused
from fleetpulse.identity import CONTROL_KEY, TICK_KEY, DeviceKey, partition_of
from fleetpulse.kernel import native
from fleetpulse.outcome import add_effects
from fleetpulse.pauses import mark_paused
from fleetpulse.ports import RecordBatch
from fleetpulse.presence import away, fall_silent, hear, resume
from fleetpulse.retirement import forget, retire
from fleetpulse.silence import STEP_MAX_US, AttendedClock
from fleetpulse.snapshot import RESULT_VERSION


@dataclass(slots=True)
class PartitionState:
    """What a partition holds besides its devices. Log time never goes back."""

    control: ControlState = field(default_factory=ControlState)
    log_time_us: int = 0
    clock: AttendedClock = field(default_factory=AttendedClock)
    away: dict[bytes, int] = field(default_factory=dict)
    """Devices that were offline when they lost their profile: log time of their last record."""


@dataclass(frozen=True, slots=True)
class _Timed:
    """A batch and, per record, log time and attended time."""

    records: RecordBatch
    log_us: I64
    attended_us: I64


def cut_at_controls(batch: RecordBatch) -> Iterator[RecordBatch]:
    """Split so that each control record stands alone, as `step` needs it."""
    begin = 0
    for cut in native.places(batch.keys, CONTROL_KEY):
        if begin < cut:
            yield batch.slice(begin, cut)
        yield batch.slice(cut, cut + 1)
        begin = cut + 1
    if begin < len(batch):
        yield batch.slice(begin, len(batch))


class Engine:
    """All devices of the partitions that a shard owns."""

    def __init__(self, partitions_total: int) -> None:
        self.partitions_total = partitions_total
        self.partitions: dict[int, PartitionState] = {}
        self.directory = Directory()
        self.samples_total = 0
        self.paused_total = 0
        """Records of paused devices."""
        self._effects = Effects()
        self._open: list[tuple[Cohort, ClosedWindows]] = []

    def step(self, batch: RecordBatch) -> list[WindowBatch]:
        """Take records; returns the windows to score, at most one batch per profile.

        A control record stands alone (`cut_at_controls`). `conclude` must follow.
        """
        ticks = native.places(batch.keys, TICK_KEY)
        timed = self._advance_time(batch, ticks)
        if len(batch) and batch.keys[0] == CONTROL_KEY:
            self._control(timed)
        else:
            self._between_ticks(timed, ticks)
        self._open = [(c, c.closed_windows()) for c in self.directory.cohorts]
        return [
            WindowBatch(c.profile, w.rows, w.ends, w.samples)
            for c, w in self._open
            if c.profile.model is not None and len(w.rows)
        ]

    def needed(self, batch: RecordBatch) -> I64:
        """Handles of the passive devices that must be active before `step` takes this batch."""
        directory = self.directory
        if not directory.passive_total or not len(batch):
            return np.empty(0, np.int64)
        if batch.keys[0] == CONTROL_KEY:
            return self._owing(batch)
        handles = directory.handles(batch.keys)
        at = np.flatnonzero(handles != ABSENT)
        handles, partitions = handles[at], batch.partitions[at]
        # what changes nothing of a device wakes nobody
        heard = (directory.partition_of[handles] == partitions) & ~directory.paused[handles]
        passive = handles[heard & (directory.row_of[handles] == ABSENT)]
        needed = np.concatenate((passive, self._ending(batch)))
        return np.unique(needed) if len(needed) else needed

    def version_after(self, batch: RecordBatch) -> int:
        """The result version that a partition has after its control record; else this release's."""
        if not len(batch) or batch.keys[0] != CONTROL_KEY:
            return RESULT_VERSION
        control = self.partitions[int(batch.partitions[0])].control
        return control.applied(batch.values[0])[0].result_version

    def _ending(self, batch: RecordBatch) -> I64:
        """Passive devices whose session ends if they fall silent in this batch, at the latest."""
        directory, ends_us = self.directory, np.full(self.partitions_total, NEVER)
        for tick in native.places(batch.keys, TICK_KEY):
            partition = int(batch.partitions[tick])
            clock = self.partitions[partition].clock
            ends_us[partition] = max(ends_us[partition], clock.attended_us) + STEP_MAX_US
        if (ends_us == NEVER).all():
            return np.empty(0, np.int64)
        due = np.flatnonzero(directory.deadline_us <= ends_us.max())
        due = due[(directory.row_of[due] == ABSENT) & directory.owes[due] & ~directory.paused[due]]
        ending: I64 = due[directory.deadline_us[due] <= ends_us[directory.partition_of[due]]]
        return ending

    def _owing(self, batch: RecordBatch) -> I64:
        """Passive devices that a control record ends while their alert or session is open."""
        partition = int(batch.partitions[0])
        handles = self.directory.handles_of(partition)
        handles = handles[self.directory.owes[handles]]
        if not len(handles):
            return handles
        before = self.partitions[partition].control
        state, control = before.applied(batch.values[0])
        if control is not None and control.HasField("forget"):
            gone = DeviceKey(control.forget.tenant, control.forget.device_id)
            named: NDArray[np.bool_] = self.directory.keys[handles] == gone.encode()
            return handles[named]
        return handles[self._leaving(handles, before.resolved(), state)]

    def broken_off(self) -> list[tuple[bytes, int]]:
        """Between the two calls: devices that fell silent, and the seconds before which their
        sessions ended, whether or not one was open.
        """
        return [each for cohort in self.directory.cohorts for each in cohort.broken_off()]

    def conclude(self, scores: Sequence[F32]) -> Effects:
        """Take the scores of what `step` answered, in its order; returns the batch's effects."""
        given = iter(scores)
        for cohort, windows in self._open:
            if cohort.zscores is not None:
                values = cohort.zscores.score(windows.rows, windows.samples)
            else:
                values = next(given) if len(windows.rows) else np.empty(0, np.float32)
            add_effects(self._effects, cohort, cohort.conclude(windows, values))
        self._open = []
        effects, self._effects = self._effects, Effects()
        return effects

    def _advance_time(self, batch: RecordBatch, ticks: list[int]) -> _Timed:
        """Log time is the running maximum of a partition's append times."""
        log_us = batch.log_time_us.copy()
        attended_us = np.empty_like(log_us)
        is_tick = np.zeros(len(batch), bool)
        is_tick[ticks] = True
        present = batch.present()
        clocks = np.zeros((self.partitions_total, 3), np.int64)
        states = [self.partitions[partition] for partition in present]
        clocks[present] = [(s.log_time_us, s.clock.attended_us, s.clock.tick_us) for s in states]
        native.advance(
            np.ascontiguousarray(batch.partitions),
            is_tick,
            log_us,
            attended_us,
            clocks,
            STEP_MAX_US,
        )
        for state, (log_time_us, now_us, tick_us) in zip(
            states, clocks[present].tolist(), strict=True
        ):
            state.log_time_us = log_time_us
            state.clock.attended_us, state.clock.tick_us = now_us, tick_us
        return _Timed(batch, log_us, attended_us)

    def _between_ticks(self, timed: _Timed, ticks: list[int]) -> None:
        """Apply records; at a tick at which somebody may be silent, those after it do not count."""
        begin = 0
        for tick in ticks:
            partition = int(timed.records.partitions[tick])
            clock, attended_us = self.partitions[partition].clock, int(timed.attended_us[tick])
            if attended_us >= clock.quiet_until_us:
                self._records(timed, begin, tick)
                log_us = int(timed.log_us[tick])
                fall_silent(self._effects, self.directory, clock, partition, log_us, attended_us)
                begin = tick + 1
        self._records(timed, begin, len(timed.records))

    def _control(self, timed: _Timed) -> None:
        batch, log_time_us = timed.records, int(timed.log_us[0])
        partition = int(batch.partitions[0])
        owned = self.partitions[partition]
        state = owned.control
        before = state.resolved()
        try:
            control = state.apply(batch.values[0])
        except Refused as error:
            self._reject(batch, 0, log_time_us, Reason.BAD_CONTROL, str(error))
            return
        if control is None:
            return
        if control.HasField("forget"):
            gone = DeviceKey(control.forget.tenant, control.forget.device_id)
            owned.away.pop(gone.encode(), None)
            if partition_of(gone.encode(), self.partitions_total) == partition:
                forget(self._effects, self.directory, gone, batch, log_time_us)
            return
        if control.HasField("savepoint"):
            self._effects.savepoints.append(SavepointAsked(partition, control.savepoint.name))
            return
        if control.HasField("pause"):
            resumed = mark_paused(self.directory, partition, state)
            resume(self.directory, resumed, int(timed.attended_us[0]))
        handles = self.directory.handles_of(partition)
        leaving = handles[self._leaving(handles, before, state)]
        owned.away |= away(self.directory, leaving)
        retire(self._effects, self.directory, leaving)

    def _leaving(self, handles: I64, before: Resolved, state: ControlState) -> NDArray[np.bool_]:
        """Which devices have another profile under `state` than the one they run with."""
        directory, leaving = self.directory, np.zeros(len(handles), bool)
        changed, keys = may_differ(before, state.resolved()), directory.keys[handles]
        for at in np.flatnonzero(matching(changed, keys.tolist())).tolist():
            profile = directory.cohorts[directory.cohort_of[handles[at]]].profile
            leaving[at] = profile != state.profile_of(keys[at])
        return leaving

    def _records(self, timed: _Timed, begin: int, end: int) -> None:
        batch, log_time_us = timed.records, timed.log_us
        at, handles = self._of_devices(timed, begin, end)
        if not len(at):
            return
        strays = self.directory.partition_of[handles] != batch.partitions[at]
        if strays.any():
            for i in at[strays].tolist():
                self._reject(batch, i, int(log_time_us[i]), Reason.WRONG_PARTITION, "")
            at, handles = at[~strays], handles[~strays]
        paused = self.directory.paused[handles]
        if paused.any():
            self.paused_total += int(np.count_nonzero(paused))
            at, handles = at[~paused], handles[~paused]
        self.directory.touch(handles, log_time_us[at])
        cohorts = self.directory.cohort_of[handles]
        if (self.directory.row_of[handles] == ABSENT).any():
            raise RuntimeError("a passive device was not activated before its record")
        if len(at) and (cohorts == cohorts[0]).all():  # so it is most often
            self._absorb(self.directory.cohorts[cohorts[0]], handles, timed, at)
            return
        for cohort_id in np.unique(cohorts).tolist():
            mine = cohorts == cohort_id
            self._absorb(self.directory.cohorts[cohort_id], handles[mine], timed, at[mine])

    def _of_devices(self, timed: _Timed, begin: int, end: int) -> tuple[I64, I64]:
        """The records that are a device's, and its handle; whoever is new begins here."""
        batch = timed.records
        keys = batch.keys[begin:end] if begin or end < len(batch) else batch.keys
        handles = self.directory.handles(keys)
        at = np.arange(begin, begin + len(handles))
        unknown = np.flatnonzero(handles == ABSENT)
        if not len(unknown):
            return at, handles
        for i in unknown.tolist():
            if keys[i] != TICK_KEY:
                handles[i] = self._activate(batch, begin + i, int(timed.log_us[begin + i]))
        known = handles != ABSENT
        return at[known], handles[known]

    def _activate(self, batch: RecordBatch, i: int, log_time_us: int) -> int:
        """The handle of a device that is heard for the first time; ABSENT if it is none."""
        key, partition = batch.keys[i], int(batch.partitions[i])
        known = int(self.directory.handles([key])[0])
        if known != ABSENT:
            return known
        try:
            name = DeviceKey.decode(key)
        except InputError as error:
            self._reject(batch, i, log_time_us, Reason.BAD_KEY, str(error))
            return ABSENT
        if partition_of(key, self.partitions_total) != partition:
            self._reject(batch, i, log_time_us, Reason.WRONG_PARTITION, "")
            return ABSENT
        control = self.partitions[partition].control
        if control.is_paused(key):
            self.paused_total += 1
            return ABSENT
        profile = control.profile_of(key)
        if profile is None:
            self._reject(batch, i, log_time_us, Reason.NO_PROFILE, "no assignment matches")
            return ABSENT
        self._effects.devices.append(
            DeviceSeen(partition, name.tenant, name.device, profile.ref, log_time_us)
        )
        handle = self.directory.add(key, partition, profile)
        away_us = self.partitions[partition].away.pop(key, None)
        if away_us is not None:
            self.directory.offline[handle], self.directory.accepted_us[handle] = True, away_us
        return handle

    def _absorb(self, cohort: Cohort, handles: I64, timed: _Timed, at: I64) -> None:
        batch, log_time_us = timed.records, timed.log_us
        rows = self.directory.row_of[handles]
        values = batch.values if len(at) == len(batch) else [batch.values[i] for i in at]
        pieces, refusals = cohort.decoder.decode(rows, values, log_time_us[at])
        for refusal in refusals:
            i = int(at[refusal.record])
            self._reject(batch, i, int(log_time_us[i]), refusal.reason, refusal.detail)
        if pieces is None:
            return
        heard = at
        if refusals:
            refused = [refusal.record for refusal in refusals]
            handles, heard = np.delete(handles, refused), np.delete(at, refused)
        log_us, attended_us = log_time_us[heard], timed.attended_us[heard]
        hear(self._effects, self.directory, cohort, handles, log_us, attended_us)
        self.samples_total += len(pieces.samples)
        late = cohort.absorb(pieces)
        for record in np.unique(pieces.records[late]).tolist():
            slots = pieces.records == record
            first = int(cohort.layout.time_us(pieces.slots[slots]).min())
            last = int(cohort.layout.time_us((pieces.slots + pieces.counts - 1)[slots]).max())
            i = int(at[record])
            self._effects.late.append(
                _rejection(batch, i, int(log_time_us[i]), Reason.LATE, "", (first, last))
            )

    def _reject(
        self, batch: RecordBatch, i: int, log_time_us: int, reason: Reason, detail: str
    ) -> None:
        self._effects.dead.append(_rejection(batch, i, log_time_us, reason, detail))


def _rejection(
    batch: RecordBatch,
    i: int,
    log_time_us: int,
    reason: Reason,
    detail: str,
    range_us: tuple[int, int] = (0, 0),
) -> Rejection:
    return Rejection(
        partition=int(batch.partitions[i]),
        offset=int(batch.offsets[i]),
        log_time_us=log_time_us,
        key=batch.keys[i],
        value=batch.values[i],
        reason=reason,
        detail=detail,
        first_us=range_us[0],
        last_us=range_us[1],
    )
