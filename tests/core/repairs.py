"""A device's past, computed again as a recomputation does."""

import numpy as np

from fleetpulse.effects import F32, Effects
from fleetpulse.identity import DeviceKey, partition_of
from fleetpulse.ports import RecordBatch, Scorer
from fleetpulse.recompute.job import Cause, Wanted
from fleetpulse.recompute.ranges import TimeRange
from fleetpulse.recompute.runs import LiveRun, NextRun
from fleetpulse.rerun import engine_at, of_devices, rerun
from tests.core.logs import PARTITIONS, Log, fake_scores


class FakeModel:
    def score(self, model: str, samples: F32) -> F32:
        return fake_scores(samples)


def repaired(
    log: Log, cut: int = 1_000_000, *, device: str = "pump-1", cause: Cause = "person"
) -> Effects:
    """What a recomputation of all of a device's records finds. cut: records per batch."""
    key = DeviceKey("default", device).encode()
    whole = log.batch()
    mine = whole.take(np.flatnonzero(whole.partitions == partition_of(key, PARTITIONS)))
    batches = [mine.slice(at, min(at + cut, len(mine))) for at in range(0, len(mine), cut)]
    return repaired_of(batches, key, FakeModel(), cause)


def repaired_of(
    batches: list[RecordBatch], key: bytes, scorer: Scorer, cause: Cause = "person"
) -> Effects:
    """What a recomputation of all of a device's partition finds; of sessions the newest events."""
    partition, keys = partition_of(key, PARTITIONS), frozenset({key})
    job = Wanted(key, TimeRange(0, 1 << 60), cause)
    engine = engine_at(partition, PARTITIONS, [])
    live = LiveRun(engine, [job])
    for turn in rerun(engine, of_devices(batches, keys), scorer):
        live.take(turn)
    found = NextRun(live, [job], partition, scorer)
    for batch in of_devices(batches, keys):
        found.take(batch)
    ledger = found.ledgers().get(key)
    if ledger is None:
        return Effects()
    alerts = [
        event
        for life in ledger.alerts.values()
        for event in (life.raised, life.cleared)
        if event is not None
    ]
    sessions = list(ledger.sessions.values())
    return Effects(scores=ledger.scores, rollups=ledger.rollups, alerts=alerts, sessions=sessions)
