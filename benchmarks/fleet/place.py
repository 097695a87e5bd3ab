"""Where contenders run: a broker alone, or our whole stack with the engine held back."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from actors.sink_writer import BEHIND_FACTOR
from benchmarks.backlog import HeldBack, held_back
from benchmarks.fleet.job import PARTITIONS
from benchmarks.processes import ProcessWatch
from benchmarks.stack import fresh_stack, on_free_ports
from devstack.free_ports import free_ports
from devstack.kafka_server import KafkaServer
from devstack.processes import STACK_VARIABLE
from devstack.state import StackState
from fleetpulse.settings import KafkaSettings, Settings

_COMMIT_MS: Final = 100
"""Of every contender that commits."""


@dataclass(frozen=True, slots=True)
class Servers:
    """What serves a run. watch: makes one over the servers, and over our engine if it is there."""

    kafka: KafkaSettings
    watch: Callable[[], ProcessWatch]


@dataclass(frozen=True, slots=True)
class Engine:
    """Our stack, running. backlog: what lets it go, unless it runs in real time."""

    servers: Servers
    settings: Settings
    backlog: HeldBack | None


@contextmanager
def broker(settings: Settings) -> Iterator[Servers]:
    """A broker of its own, as our stack runs it."""
    folder = settings.data_folder.absolute() / "bench-fleet"
    kafka = settings.kafka.model_copy(
        update={
            "port": free_ports(2),
            "bootstrap": None,
            "brokers": 1,
            "partitions": PARTITIONS,
        }
    )
    shutil.rmtree(folder, ignore_errors=True)
    # Some contenders leave it no time for a while; nobody else could lead in its place.
    patient = {"broker.session.timeout.ms": "30000"}
    server = KafkaServer(kafka, folder / "kafka", properties=patient)
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
    interval_ms = _COMMIT_MS if paced else _COMMIT_MS // BEHIND_FACTOR
    shard = own.shard.model_copy(
        update={
            "kafka_commit_interval_ms": interval_ms,
            "alert_commit_interval_ms": interval_ms,
            "rollup_commit_interval_ms": interval_ms,
        }
    )
    model = own.model.model_copy(update={"folder": models})
    kafka = own.kafka.model_copy(update={"partitions": PARTITIONS})
    own = own.model_copy(update={"shard": shard, "model": model, "kafka": kafka})
    shutil.rmtree(own.data_folder, ignore_errors=True)
    with fresh_stack(own, on_start) as stack:
        servers = Servers(
            stack.settings.kafka, lambda: ProcessWatch(STACK_VARIABLE, stack.stack_id)
        )
        with nullcontext() if paced else held_back(stack) as backlog:
            yield Engine(servers, stack.settings, backlog)
