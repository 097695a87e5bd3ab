"""The stack that is struck: three brokers, and snapshots on a small file system of their own."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stack import MeasuredStack, fresh_stack
from devstack.free_ports import free_ports
from devstack.state import StackState
from fleetpulse.settings import Settings

BROKERS = 3
HEAP_MB = 256
SNAPSHOTS_MB = 256


@contextmanager
def chaos_stack(
    settings: Settings, on_change: Callable[[StackState], None]
) -> Iterator[MeasuredStack]:
    """A fresh stack below the data folder, on free ports; it ends with the context."""
    ports = free_ports(2 * BROKERS + 2)
    folder = settings.data_folder.absolute() / "chaos"
    kafka = {"port": ports, "brokers": BROKERS, "heap_mb": HEAP_MB}
    own = settings.model_copy(
        update={
            "data_folder": folder,
            "kafka": settings.kafka.model_copy(update=kafka),
            "postgres": settings.postgres.model_copy(update={"port": ports + 2 * BROKERS}),
            "http": settings.http.model_copy(update={"port": ports + 2 * BROKERS + 1}),
        }
    )
    _unmount(own.snapshots)
    shutil.rmtree(folder, ignore_errors=True)
    own.snapshots.mkdir(parents=True)
    try:
        _mount(own.snapshots)
        with fresh_stack(own, on_change) as stack:
            yield stack
    finally:
        _unmount(own.snapshots)


def _mount(folder: Path) -> None:
    """Without the right to, the disk is not filled and that fault fails; the others run."""
    if os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", f"size={SNAPSHOTS_MB}m", "tmpfs", str(folder)]
        subprocess.run(command, check=False, timeout=10)


def _unmount(folder: Path) -> None:
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], check=False, timeout=10)
