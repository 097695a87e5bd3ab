"""Labelled windows of a recorded series, in the Numenta Anomaly Benchmark's form."""

import json
from pathlib import Path

from fleetpulse.errors import InputError
from simulator.series import parse_time_us

Window = tuple[int, int]


def read_windows(path: Path, series: Path) -> list[Window]:
    """Windows (start_us, end_us), both inclusive, of the entry whose name ends in the series' name.

    Also takes a plain list of [start, end] pairs. Raises InputError naming what is wrong.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(str(path), error.strerror or "cannot be read") from error
    except ValueError as error:
        raise InputError(str(path), "is not JSON") from error
    if isinstance(content, dict):
        named = [value for name, value in content.items() if Path(name).name == series.name]
        if len(named) != 1:
            raise InputError(str(path), f"has {len(named)} entries for {series.name}")
        content = named[0]
    try:
        return [(parse_time_us(start), parse_time_us(end)) for start, end in content]
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(str(path), "must hold [start, end] pairs of ISO 8601 times") from error
