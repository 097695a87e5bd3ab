"""Feeds frames or samples to the real engine, without a log: one partition, one profile."""

from collections.abc import Iterable

import numpy as np

from fleetpulse.effects import AlertEvent
from fleetpulse.engine import Engine, PartitionState
from fleetpulse.identity import CONTROL_KEY
from fleetpulse.ports import RecordBatch, Scorer
from fleetpulse.profile import Profile
from fleetpulse.telemetry_pb2 import Assignment, Control


class EngineRun:
    """Alerts raised so far; records beside the way."""

    def __init__(self, profile: Profile, scorer: Scorer) -> None:
        self._engine, self._scorer = Engine(1), scorer
        self._engine.partitions[0] = PartitionState()
        self._offset = 0
        self.raised: list[AlertEvent] = []
        self.rejected: list[str] = []
        for control in (
            Control(id="profile", profile_yaml=profile.to_yaml()),
            Control(id="assign", assignment=Assignment(profile=profile.name)),
        ):
            self.feed([(CONTROL_KEY, control.SerializeToString())], 1)

    def feed(self, records: Iterable[tuple[bytes, bytes]], log_time_us: int) -> None:
        """One batch."""
        keys, values = map(list, zip(*records, strict=True))
        n = len(keys)
        batch = RecordBatch(
            partitions=np.zeros(n, np.int32),
            offsets=np.arange(self._offset, self._offset + n),
            log_time_us=np.full(n, log_time_us),
            keys=keys,
            values=values,
        )
        self._offset += n
        windows = self._engine.step(batch)
        scores = [self._scorer.score(w.profile.scorer, w.samples) for w in windows]
        effects = self._engine.conclude(scores)
        self.raised += [alert for alert in effects.alerts if alert.kind == "raised"]
        self.rejected += [str(each.reason) for each in (*effects.dead, *effects.late)]
