"""Starts and stops the shards and the live hub as named Ray actors.

Ray restarts an actor whose process dies; its partitions go to the other shards meanwhile.
"""

import time

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from actors.device_shard import DeviceShard, Handle, shard_name
from actors.live_hub import NAMESPACE, start_live_hub, stop_live_hub
from fleetpulse.errors import RetryLater
from fleetpulse.live import ShardStatus
from fleetpulse.settings import Settings

STOP_TIMEOUT_S = 10.0
STATUS_TIMEOUT_S = 2.0
_THREADS = 8


class Shards:
    """The shards of this driver; they end with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shards: list[Handle] = []

    def start(self) -> None:
        """Create the hub and `shard.count` shards; they begin to recover at once."""
        start_live_hub()
        self._shards = [
            ray.remote(DeviceShard)
            .options(
                name=shard_name(slot),
                namespace=NAMESPACE,
                num_cpus=1,
                max_restarts=-1,
                max_concurrency=_THREADS,
            )
            .remote(slot, self._settings)
            for slot in range(self._settings.shard.count)
        ]

    def status(self) -> list[ShardStatus]:
        """Of the shards that answer."""
        answers = [shard.status.remote() for shard in self._shards]
        ready, _ = ray.wait(answers, num_returns=len(answers), timeout=STATUS_TIMEOUT_S)
        found: list[ShardStatus] = []
        for answer in ready:
            try:
                status = ray.get(answer)
            except RayActorError:
                continue
            if status is not None:
                found.append(status)
        return found

    def await_ready(self, timeout_s: float) -> None:
        """Wait until every partition is owned (or stopped, with a remedy)."""
        deadline_s = time.monotonic() + timeout_s
        everything = set(range(self._settings.kafka.partitions))
        while True:
            owned = {part.partition for status in self.status() for part in status.partitions}
            if owned == everything:
                return
            if time.monotonic() > deadline_s:
                missing = sorted(everything - owned)
                raise RetryLater(f"no shard took partitions {missing} within {timeout_s:g} s")
            time.sleep(0.1)

    def stop(self) -> bool:
        """Let every shard commit and snapshot; True if all did in time."""
        answers = [shard.stop.remote(STOP_TIMEOUT_S) for shard in self._shards]
        try:
            done = all(ray.get(answers, timeout=STOP_TIMEOUT_S + 2))
        except (GetTimeoutError, RayActorError):
            done = False
        for shard in self._shards:
            ray.kill(shard)
        self._shards = []
        stop_live_hub()
        return done
