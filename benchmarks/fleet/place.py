"""Where contenders run: a broker alone, or our whole stack with the engine held back."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.postgres.partition_pauses import PostgresPartitionPauses
from benchmarks.processes import ProcessWatch
from benchmarks.stack import fresh_stack, on_free_ports
from devstack.free_ports import free_ports
from devstack.kafka_server import KafkaServer
from devstack.processes import STACK_VARIABLE
from devstack.state import StackState
from fleetpulse.settings import KafkaSettings, Settings

_COMMIT_BEHIND_MS: Final = 25
"""A shard that works off a backlog commits at four times its interval: each 100 ms."""
_COMMIT_MS: Final = 100


@dataclass(frozen=True, slots=True)
class Servers:
    """What serves a run. watch: makes one over the servers, and over our engine if it is there."""

    kafka: KafkaSettings
    watch: Callable[[], ProcessWatch]


@dataclass(frozen=True, slots=True)
class Engine:
    """Our stack, running, with all partitions paused until `resume`."""

    servers: Servers
    settings: Settings
    _pauses: PostgresPartitionPauses

    def resume(self) -> None:
        """Let the shards fetch; they look once a second."""
        for partition in range(self.settings.kafka.partitions):
            self._pauses.resume(partition)


@contextmanager
def broker(settings: Settings) -> Iterator[Servers]:
    """A broker of its own, as our stack runs it."""
    folder = settings.data_folder.absolute() / "bench-fleet"
    kafka = settings.kafka.model_copy(
        update={"port": free_ports(2), "bootstrap": None, "brokers": 1}
    )
    shutil.rmtree(folder, ignore_errors=True)
    server = KafkaServer(kafka, folder / "kafka")
    try:
        server.start()
        assert server.pid is not None
        roots = frozenset({server.pid})
        yield Servers(kafka, lambda: ProcessWatch(STACK_VARIABLE, uuid.uuid4().hex, roots))
    finally:
        server.stop()


@contextmanager
def engine(
    settings: Settings, models: Path, *, paced: bool, on_start: Callable[[StackState], None]
) -> Iterator[Engine]:
    """A fresh stack that commits at least every 100 ms, whether it is behind or not."""
    own = on_free_ports(settings)
    interval_ms = _COMMIT_MS if paced else _COMMIT_BEHIND_MS
    shard = own.shard.model_copy(
        update={
            "kafka_commit_interval_ms": interval_ms,
            "alert_commit_interval_ms": interval_ms,
            "rollup_commit_interval_ms": interval_ms,
        }
    )
    model = own.model.model_copy(update={"folder": models})
    own = own.model_copy(update={"shard": shard, "model": model})
    shutil.rmtree(own.data_folder, ignore_errors=True)
    with fresh_stack(own, on_start) as stack:
        pauses = PostgresPartitionPauses(stack.dsn)
        try:
            if not paced:
                for partition in range(own.kafka.partitions):
                    pauses.pause(partition, "bench")
            servers = Servers(
                stack.settings.kafka, lambda: ProcessWatch(STACK_VARIABLE, stack.stack_id)
            )
            yield Engine(servers, stack.settings, pauses)
        finally:
            pauses.close()
