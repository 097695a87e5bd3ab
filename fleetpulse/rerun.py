"""The engine over a part of one partition's log, for a few devices: what happened, once more.

Recomputation and explanation read the log again; the same core gives the same results.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fleetpulse.effects import F32, Effects, WindowBatch
from fleetpulse.engine import Engine, PartitionState, cut_at_controls
from fleetpulse.errors import Refused
from fleetpulse.identity import CONTROL_KEY, TICK_KEY
from fleetpulse.ports import RecordBatch, Scorer


@dataclass(frozen=True, slots=True)
class Turn:
    """One step of the engine. scores: of each of `windows` (profiles with a model only).

    broken_off: devices that fell silent, and before which second that ended sessions.
    """

    batch: RecordBatch
    windows: list[WindowBatch]
    scores: list[F32]
    broken_off: list[tuple[bytes, int]]
    effects: Effects


def engine_at(partition: int, partitions_total: int, controls: Iterable[bytes]) -> Engine:
    """An engine without devices that knows what control records said so far."""
    engine = Engine(partitions_total)
    state = engine.partitions[partition] = PartitionState()
    for value in controls:
        try:
            state.control.apply(value)
        except Refused:
            continue  # it changed nothing then either
    return engine


def of_devices(batches: Iterable[RecordBatch], keys: frozenset[bytes]) -> Iterator[RecordBatch]:
    """One partition's records of these devices, with ticks and controls.

    log_time_us becomes log time itself: the running maximum over all records, also those left out.
    """
    wanted = keys | {TICK_KEY, CONTROL_KEY}
    log_time_us = 0
    for batch in batches:
        if not len(batch):
            continue
        times = np.maximum(np.maximum.accumulate(batch.log_time_us), log_time_us)
        log_time_us = int(times[-1])
        whole = RecordBatch(batch.partitions, batch.offsets, times, batch.keys, batch.values)
        mine = np.flatnonzero(np.fromiter(map(wanted.__contains__, batch.keys), bool, len(batch)))
        if len(mine):
            yield whole.take(mine)


def rerun(engine: Engine, batches: Iterable[RecordBatch], scorer: Scorer) -> Iterator[Turn]:
    """Step and conclude over the batches; the engine may be looked at between two turns."""
    for batch in batches:
        for part in cut_at_controls(batch):
            windows = engine.step(part)
            scores = [scorer.score(each.profile.scorer, each.samples) for each in windows]
            broken_off = engine.broken_off()
            yield Turn(part, windows, scores, broken_off, engine.conclude(scores))
