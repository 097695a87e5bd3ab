"""How each fault is done, and undone when its cause ends."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil
import psycopg
from psycopg.sql import SQL, Literal

from benchmarks.chaos.schedule import Fault
from benchmarks.chaos.victims import Victims
from fleetpulse.errors import FleetpulseError

_CHUNK: Final = bytes(1 << 20)


@contextmanager
def struck(fault: Fault, victims: Victims) -> Iterator[None]:
    """The fault strikes; its cause ends with the context."""
    match fault.act:
        case "kill -9":
            victims.find(fault.victim)[0].kill()
            yield
        case "SIGSTOP" | "unreachable":
            with _stopped(victims.find(fault.victim)):
                yield
        case "full disk":
            with _full(victims.stack.settings.snapshots):
                yield
        case "refuses connections":
            with _refusing(victims.stack.dsn):
                yield


@contextmanager
def _stopped(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        with suppress(psutil.Error):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)


@contextmanager
def _full(folder: Path) -> Iterator[None]:
    """Fill the small file system that `benchmarks.chaos.stack` mounted there."""
    if not os.path.ismount(folder):
        raise FleetpulseError(f"{folder} is no file system of its own: it is not filled")
    filler = folder / "filler"
    try:
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(_CHUNK)
        yield
    finally:
        filler.unlink(missing_ok=True)


@contextmanager
def _refusing(dsn: str) -> Iterator[None]:
    """The server lives and lets nobody into the database."""
    with psycopg.connect(dsn, dbname="postgres", autocommit=True, connect_timeout=5) as server:
        database = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        allow = SQL("UPDATE pg_database SET datallowconn = {} WHERE datname = {}")
        server.execute(allow.format(Literal(False), Literal(database)))  # noqa: FBT003
        try:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (database,),
            )
            yield
        finally:
            server.execute(allow.format(Literal(True), Literal(database)))  # noqa: FBT003
