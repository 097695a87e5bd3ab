"""Live and next of some devices of one partition: the log as live took it, and as it should be."""

from collections.abc import Mapping, Sequence

import numpy as np

from fleetpulse.directory import ABSENT
from fleetpulse.engine import Engine
from fleetpulse.identity import DeviceKey
from fleetpulse.ports import RecordBatch, Scorer
from fleetpulse.recompute.correction import FOREVER_US, Correction, RunEnd, compare
from fleetpulse.recompute.history import History, Life
from fleetpulse.recompute.job import Wanted
from fleetpulse.recompute.ledger import Ledger
from fleetpulse.recompute.ranges import (
    TimeRange,
    begin_log_time_us,
    learning_us,
    reach_us,
    warm_up_us,
)
from fleetpulse.recompute.repair import Repair, Watch, unwatched
from fleetpulse.recompute.sessions import gap_us
from fleetpulse.rerun import Turn


class LiveRun:
    """The engine's run over the span, remembered as far as the jobs need it."""

    def __init__(self, engine: Engine, jobs: Sequence[Wanted]) -> None:
        self.engine = engine
        self.history = History(frozenset(job.key for job in jobs))
        self.ledgers = {
            job.key: Ledger(job.key, TimeRange(job.changed.from_us, FOREVER_US), job.done_until_us)
            for job in jobs
        }

    def take(self, turn: Turn) -> None:
        """After each turn of the engine."""
        self.history.take(self.engine, turn)
        for ledger in self.ledgers.values():
            ledger.take(turn.effects)
        for gone in turn.effects.forgotten:
            key = DeviceKey(gone.tenant, gone.device_id).encode()
            if key in self.ledgers:
                self.ledgers[key].clear()

    def end(self, key: bytes) -> RunEnd | None:
        """Where the device is now."""
        place = self.engine.directory.find(key)
        return RunEnd(*place, ended=False) if place else None

    def silent(self, key: bytes) -> bool:
        """Whether the device is offline now."""
        directory = self.engine.directory
        handles = directory.handles([key])
        return bool(directory.offline[handles[handles != ABSENT]].any())


class NextRun:
    """The second pass over the same records: each device's, repaired."""

    def __init__(
        self,
        live: LiveRun,
        jobs: Sequence[Wanted],
        partition: int,
        scorer: Scorer,
        watch: Watch = unwatched,
    ) -> None:
        """watch: is shown all samples in the order in which they are computed."""
        self._live = live
        self._devices = {
            job.key: _Device(job, _lives(live, job), partition, scorer, watch)
            for job in jobs
            if live.history.lives[job.key]
        }

    def take(self, batch: RecordBatch) -> None:
        """Records of the devices, in log order."""
        for key, device in self._devices.items():
            at = np.flatnonzero(np.fromiter((k == key for k in batch.keys), bool, len(batch)))
            if len(at):
                device.take(batch.take(at))

    def ledgers(self) -> dict[bytes, Ledger]:
        """What next says of each device, once all is taken; instead of `corrections`."""
        for key, device in self._devices.items():
            device.finish(silent=self._live.silent(key))
        return {key: device.ledger for key, device in self._devices.items()}

    def corrections(
        self, from_us: int, older: frozenset[bytes] = frozenset()
    ) -> dict[bytes, Correction]:
        """What to promote, once all is taken; nothing for a device that the span does not have.

        from_us: log time at which the span begins; 0: with the log. older: devices that were heard
        before it. Of those that learn, these runs do not have the state that live had: what scores
        made stays live's, unless a job wants a profile that live did not have there.
        """
        found: dict[bytes, Correction] = {}
        for key, device in self._devices.items():
            end = device.finish(silent=self._live.silent(key))
            first, live_lives = device.lives[0].profile, self._live.history.lives[key]
            before, after = self._live.ledgers[key].within(device.touched), device.ledger
            exact_us = round(first.future_bound_s * 1e6)
            if key not in older or first.model is not None:
                exact_us += warm_up_us(first)
            elif first != live_lives[0].profile:
                exact_us += warm_up_us(first) + learning_us(first)
            else:
                before, after = before.without_scores(), after.without_scores()
            found[key] = compare(
                device.touched,
                device.reach_us,
                from_us + exact_us if from_us else 0,
                gap_us(life.profile for life in device.lives + live_lives),
                before,
                after,
                self._live.end(key),
                end,
            )
        return found

    def short(self, from_us: int, found: Mapping[bytes, Correction]) -> bool:
        """Whether a span from an earlier log time on would replace more, with these corrections.

        Only the runs know under which profiles the span begins, and how long next's sessions are.
        """
        if not from_us:
            return False
        if any(each.sessions.cut for each in found.values()):
            return True
        begins = [
            begin_log_time_us(device.job.changed, life.profile, None)
            for key, device in self._devices.items()
            for life in (device.lives[0], self._live.history.lives[key][0])
        ]
        return any(each is None or each < from_us for each in begins)


def _lives(live: LiveRun, job: Wanted) -> list[Life]:
    """As they were; or, for a changed profile, as if the newest had been there all the time."""
    lives = live.history.lives[job.key]
    if job.cause != "profile" or lives[-1].ended:
        return lives
    late = [each for life in lives for each in life.late]
    unused = {offset for life in lives for offset in life.unused}
    breaks = [second for life in lives for second in life.breaks]
    return [Life(lives[-1].profile, lives[0].begin, late=late, unused=unused, breaks=breaks)]


class _Device:
    """One device's lives, repaired one after the other."""

    def __init__(
        self, job: Wanted, lives: list[Life], partition: int, scorer: Scorer, watch: Watch
    ) -> None:
        self.lives = lives
        self.job = job
        self._partition = partition
        self._scorer = scorer
        self._watch = watch
        profiles = [life.profile for life in lives]
        self.reach_us = reach_us(profiles)
        self.touched = TimeRange(job.changed.from_us, job.changed.to_us + self.reach_us)
        self.ledger = Ledger(job.key, self.touched, job.done_until_us)
        self._hold_ns = max(each.lateness_slots * each.period_ns for each in profiles)
        self._number = 0
        self._repair = self._begin(lives[0])

    def take(self, batch: RecordBatch) -> None:
        """Its records."""
        offsets = batch.offsets
        while self._number + 1 < len(self.lives):
            begin = self.lives[self._number + 1].begin
            self._take(batch.take(np.flatnonzero(offsets < begin)))
            batch = batch.take(np.flatnonzero(offsets >= begin))
            offsets = batch.offsets
            if not len(batch):
                return
            self.ledger.take(self._repair.finish(ended=True))
            self._number += 1
            self._repair = self._begin(self.lives[self._number])
        self._take(batch)

    def finish(self, *, silent: bool) -> RunEnd:
        """All records are there. silent: and the device is offline."""
        ended = self.lives[self._number].ended
        self.ledger.take(self._repair.finish(ended=ended, silent=silent))
        return RunEnd(self._repair.cohort, self._repair.row, ended)

    def _begin(self, life: Life) -> Repair:
        hold_slots = -(-self._hold_ns // life.profile.period_ns)
        repair = Repair(
            self.job.key,
            self._partition,
            life.profile,
            self._scorer,
            hold_slots=hold_slots,
            breaks=life.breaks,
            watch=self._watch,
        )
        repair.expect(
            np.array([each.offset for each in life.late], np.int64),
            np.array([each.log_time_us for each in life.late], np.int64),
            [each.value for each in life.late],
        )
        return repair

    def _take(self, batch: RecordBatch) -> None:
        life = self.lives[self._number]
        used = [
            i
            for i, offset in enumerate(batch.offsets.tolist())
            if offset >= life.begin and offset not in life.unused
        ]
        part = batch.take(np.array(used, np.int64))
        self.ledger.take(self._repair.take(part.offsets, part.log_time_us, part.values))
