"""A recomputation, on random logs, finds what the offline computation says of them."""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings

from benchmarks.offline.outcome import Outcome, compute
from fleetpulse.effects import F32, Effects
from fleetpulse.identity import partition_of
from tests.core.repairs import repaired_of
from tests.verify.test_engine_agrees import DEVICES, PARTITIONS, batches, findings, logs, recorded


class MeanModel:
    def score(self, model: str, samples: F32) -> F32:
        means: F32 = samples.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        return means


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
@given(drawn=logs())
def test_next_agrees(
    models: Path, drawn: tuple[list[tuple[int, float, bytes, bytes]], list[int]]
) -> None:
    log, cuts = drawn
    partitions, offsets = recorded(log)
    found = Effects()
    for key in DEVICES:
        home = partition_of(key, PARTITIONS)
        mine = [
            batch.take(np.flatnonzero(batch.partitions == home))
            for batch in batches(log, offsets, cuts)
        ]
        found.extend(repaired_of(mine, key, MeanModel()))
    wrong = findings(_of_views(compute(partitions, models, after_recompute=True)), found)
    assert not wrong, "\n".join(map(str, wrong))


def _of_views(outcome: Outcome) -> Outcome:
    """What a recomputation says; of each session its newest event."""
    ended = {key[:2] for key in outcome.sessions if key[2] == "ended"}
    found = Outcome(scores=outcome.scores, rollups=outcome.rollups, alerts=outcome.alerts)
    for key, session in outcome.sessions.items():
        if key[2] == "ended" or key[:2] not in ended:
            found.sessions.add(key, session)
    return found
