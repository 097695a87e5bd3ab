"""The stack that a benchmark measures: the running one, or one of its own that ends with it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from devstack.free_ports import free_ports
from devstack.launch import StackOwner, settings_of_running
from devstack.state import StackState, running_stack
from fleetpulse.errors import SetupError
from fleetpulse.settings import Settings


@dataclass(frozen=True, slots=True)
class MeasuredStack:
    """settings: complete, with the database's address. page: its HTTP address."""

    settings: Settings
    stack_id: str
    page: str

    @property
    def dsn(self) -> str:
        """Of the database."""
        assert self.settings.postgres.dsn is not None
        return self.settings.postgres.dsn.get_secret_value()


@contextmanager
def measured_stack(
    settings: Settings, on_change: Callable[[StackState], None]
) -> Iterator[MeasuredStack]:
    """The stack of `settings.data_folder` if it runs, else a fresh one on free ports.

    The shards of a fresh one note when results passed their stages.
    """
    if (running := running_stack(settings.data_folder)) and running.phase == "ready":
        yield MeasuredStack(settings_of_running(settings), running.stack_id, running.page)
        return
    own = on_free_ports(settings)
    trace_folder = own.data_folder.absolute() / "trace"
    traced = own.shard.model_copy(update={"trace_folder": trace_folder})
    own = own.model_copy(update={"shard": traced})
    shutil.rmtree(own.data_folder, ignore_errors=True)
    with fresh_stack(own, on_change) as stack:
        yield stack


@contextmanager
def fresh_stack(
    settings: Settings, on_change: Callable[[StackState], None]
) -> Iterator[MeasuredStack]:
    """A stack with exactly these settings; raises SetupError when it does not start."""
    owner = StackOwner(settings, ends_with_caller=True)
    try:
        state = owner.wait_ready(on_change)
        if state.phase != "ready":
            raise SetupError(
                "; ".join(state.problems), remedy=f"see {settings.data_folder / 'stack.log'}"
            )
        yield MeasuredStack(settings_of_running(settings), owner.stack_id, state.page)
    finally:
        owner.stop()


def on_free_ports(settings: Settings) -> Settings:
    """For a stack of a benchmark's own, below the data folder."""
    ports = free_ports(4)
    return settings.model_copy(
        update={
            "data_folder": settings.data_folder / "bench",
            "kafka": settings.kafka.model_copy(update={"port": ports}),
            "postgres": settings.postgres.model_copy(update={"port": ports + 2}),
            "http": settings.http.model_copy(update={"port": ports + 3}),
        }
    )
