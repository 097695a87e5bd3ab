"""The device engine: records in, effects out. It decides; it does no I/O and reads no clock.

One batch is two calls: `step` takes the records and answers the windows that closed, the shell
runs the models, `conclude` takes the scores and answers the effects. What comes out over a
partition's life is a function of its records alone, wherever batches are cut.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from fleetpulse.cohort import ClosedWindows, Cohort
from fleetpulse.control import ControlState
from fleetpulse.directory import ABSENT, Directory
from fleetpulse.effects import F32, I64, DeviceSeen, Effects, Reason, Rejection, WindowBatch
from fleetpulse.errors import InputError, Refused
from fleetpulse.identity import CONTROL_KEY, TICK_KEY, DeviceKey, partition_of
from fleetpulse.outcome import add_effects
from fleetpulse.ports import RecordBatch
from fleetpulse.retirement import retire


@dataclass(slots=True)
class PartitionState:
    """What a partition holds besides its devices. Log time never goes back."""

    control: ControlState = field(default_factory=ControlState)
    log_time_us: int = 0


def cut_at_controls(batch: RecordBatch) -> Iterator[RecordBatch]:
    """Split so that a control record stands only at the beginning, as `step` needs it."""
    begin = 0
    while CONTROL_KEY in batch.keys[begin + 1 :]:
        cut = batch.keys.index(CONTROL_KEY, begin + 1)
        yield batch.slice(begin, cut)
        begin = cut
    yield batch.slice(begin, len(batch))


class Engine:
    """All devices of the partitions that a shard owns."""

    def __init__(self, partitions_total: int) -> None:
        self.partitions_total = partitions_total
        self.partitions: dict[int, PartitionState] = {}
        self.directory = Directory()
        self.samples_total = 0
        self._effects = Effects()
        self._open: list[tuple[Cohort, ClosedWindows]] = []

    def step(self, batch: RecordBatch) -> list[WindowBatch]:
        """Take records; returns the windows to score, at most one batch per profile.

        A control record may only stand first (`cut_at_controls`). `conclude` must follow.
        """
        log_time_us = self._advance_log_time(batch)
        begin = 0
        if len(batch) and batch.keys[0] == CONTROL_KEY:
            self._control(batch, int(log_time_us[0]))
            begin = 1
        self._records(batch, begin, log_time_us)
        self._open = [(c, c.closed_windows()) for c in self.directory.cohorts]
        return [
            WindowBatch(c.profile, w.rows, w.ends, w.samples)
            for c, w in self._open
            if c.profile.model is not None and len(w.rows)
        ]

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

    def _advance_log_time(self, batch: RecordBatch) -> I64:
        """Log time at each record: the running maximum of its partition's append times."""
        log_time_us = batch.log_time_us.copy()
        for partition in np.unique(batch.partitions).tolist():
            state = self.partitions[partition]
            mine = np.flatnonzero(batch.partitions == partition)
            times = np.maximum(np.maximum.accumulate(log_time_us[mine]), state.log_time_us)
            log_time_us[mine] = times
            state.log_time_us = int(times[-1])
        return log_time_us

    def _control(self, batch: RecordBatch, log_time_us: int) -> None:
        partition = int(batch.partitions[0])
        state = self.partitions[partition].control
        try:
            changed = state.apply(batch.values[0])
        except Refused as error:
            self._reject(batch, 0, log_time_us, Reason.BAD_CONTROL, str(error))
            return
        if not changed:
            return
        ended: list[bytes] = []
        for key in self.directory.keys_of(partition):
            place = self.directory.find(key)
            if place and place[0].profile != state.profile_of(DeviceKey.decode(key)):
                retire(self._effects, *place)
                ended.append(key)
        self.directory.remove(ended)

    def _records(self, batch: RecordBatch, begin: int, log_time_us: I64) -> None:
        keys = batch.keys[begin:] if begin else batch.keys
        handles = self.directory.handles(keys)
        for i in np.flatnonzero(handles == ABSENT).tolist():
            if keys[i] != TICK_KEY:
                handles[i] = self._activate(batch, begin + i, int(log_time_us[begin + i]))
        at = np.flatnonzero(handles != ABSENT)
        if not len(at):
            return
        handles = handles[at]
        at += begin
        strays = self.directory.partition_of[handles] != batch.partitions[at]
        if strays.any():
            for i in at[strays].tolist():
                self._reject(batch, i, int(log_time_us[i]), Reason.WRONG_PARTITION, "")
            at, handles = at[~strays], handles[~strays]
        cohorts = self.directory.cohort_of[handles]
        for cohort_id in np.unique(cohorts).tolist():
            mine = cohorts == cohort_id
            cohort = self.directory.cohorts[cohort_id]
            self._absorb(cohort, self.directory.row_of[handles[mine]], batch, at[mine], log_time_us)

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
        profile = self.partitions[partition].control.profile_of(name)
        if profile is None:
            self._reject(batch, i, log_time_us, Reason.NO_PROFILE, "no assignment matches")
            return ABSENT
        self._effects.devices.append(
            DeviceSeen(partition, name.tenant, name.device, profile.ref, log_time_us)
        )
        return self.directory.add(key, partition, profile)

    def _absorb(
        self, cohort: Cohort, rows: I64, batch: RecordBatch, at: I64, log_time_us: I64
    ) -> None:
        values = batch.values if len(at) == len(batch) else [batch.values[i] for i in at]
        pieces, refusals = cohort.decoder.decode(rows, values, log_time_us[at])
        for refusal in refusals:
            i = int(at[refusal.record])
            self._reject(batch, i, int(log_time_us[i]), refusal.reason, refusal.detail)
        if pieces is None:
            return
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
