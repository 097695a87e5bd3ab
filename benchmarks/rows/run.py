"""A database server of the run's own: rows written in several ways, then millions read."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.postgres.connection import connect
from adapters.postgres.migrate import migrate
from benchmarks.rows.asking import Asked, ask_all
from benchmarks.rows.filling import Filled, fill
from benchmarks.rows.writing import WriteCost, measure_writing
from devstack.free_ports import free_ports
from devstack.postgres_server import PostgresServer
from fleetpulse.errors import SetupError
from fleetpulse.settings import PostgresSettings

BYTES_PER_ROW: Final = 1_500
"""Room that a row may need while the tables are filled: heap, indexes, log."""
Show = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class RowsReport:
    """What was measured."""

    writes: list[WriteCost]
    filled: Filled
    questions: list[Asked]


def measure_rows(folder: Path, rows: int, show: Show) -> RowsReport:
    """In an empty folder that others may enter; the caller removes it."""
    free = shutil.disk_usage(folder).free
    if free < rows * BYTES_PER_ROW:
        raise SetupError(
            f"{rows:,} rows need up to {rows * BYTES_PER_ROW >> 30} GiB, {free >> 30} are free",
            remedy="ask for fewer --rows, or choose another FLEETPULSE_DATA_FOLDER",
        )
    server = PostgresServer(PostgresSettings(port=free_ports(1)), folder)
    try:
        server.start()
        dsn = server.dsn.get_secret_value()
        migrate(dsn)
        writes = measure_writing(dsn, show)
        with connect(dsn, purpose="bench") as connection:
            connection.execute("TRUNCATE rollup_minute")
            filled = fill(connection, rows, show)
        return RowsReport(writes, filled, ask_all(dsn, filled.devices, show))
    finally:
        server.stop()
