"""`fleetpulse explain`: why an alert was raised, computed once more from the log."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from actors.explanation import Explanation
    from fleetpulse.effects import F32

_CELLS = 32
_LEVELS = "▁▂▃▄▅▆▇█"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(explain)


def explain(
    alert_id: Annotated[str, typer.Argument(help="As the page and /api/v1/alerts show it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show an alert's window, model, records and decision, reproduced from the log.

    One that a recomputation raised is reproduced as that does: late records have their place.
    Exits with 1 if the score that the log gives is not the stored one, bit for bit.
    """
    import json

    found = _explained(alert_id)
    if as_json:
        print(json.dumps(_as_json(found)))
    else:
        _print(found)
    raise typer.Exit(0 if found.same_bits else 1)


def _explained(alert_id: str) -> "Explanation":
    from actors.explain import explain as explained
    from actors.rerun import Again
    from adapters.kafka.range_reader import RangeReader
    from adapters.postgres.alert_lookup import find_alert
    from devstack.launch import settings_of_running
    from fleetpulse.errors import InputError
    from fleetpulse.settings import load_settings
    from models.onnx_scorer import OnnxScorer

    settings = load_settings()
    if settings.postgres.dsn is None:
        settings = settings_of_running(settings)
    assert settings.postgres.dsn is not None
    alert = find_alert(settings.postgres.dsn.get_secret_value(), alert_id)
    if alert is None:
        raise InputError("alert_id", "is not known", status=404)
    log = RangeReader(settings.kafka, client_id="explain")
    try:
        return explained(Again(log, OnnxScorer(settings.model), settings.kafka.partitions), alert)
    finally:
        log.close()


def _as_json(found: "Explanation") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "alert": asdict(found.stored.row),
        "view_epoch": found.stored.view_epoch,
        "withdrawn": found.stored.withdrawn,
        "run": found.run,
        "profile": found.profile.model_dump(mode="json"),
        "partition": found.partition,
        "decided_at_offset": found.decided_at,
        "records": [asdict(each) for each in found.records],
        "model": found.stored.row.model,
        "score": found.score,
        "same_bits": found.same_bits,
        "scores": [asdict(each) for each in found.scores],
        "channels": {
            name: _summary(found.window[:, at]) for at, name in enumerate(found.profile.channels)
        },
    }


def _summary(values: "F32") -> dict[str, Any]:
    import numpy as np

    present = values[~np.isnan(values)].astype(np.float64)
    if not len(present):
        return {"present": 0}
    return {
        "present": len(present),
        "min": float(present.min()),
        "mean": float(present.mean()),
        "max": float(present.max()),
    }


def _print(found: "Explanation") -> None:
    from rich.console import Console

    alert, rule = found.stored.row, found.profile.alert
    console = Console(highlight=False, soft_wrap=True)
    over = sum(1 for _ in _last_run(found))
    console.print(f"[bold]{alert.tenant}/{alert.device_id}[/]  alert {alert.alert_id}")
    console.print(
        f"window {_time(alert.window_start_us)} to {_time(alert.window_end_us)}, "
        f"profile {alert.profile}, model {alert.model}"
    )
    console.print(_view(found))
    same = "the same bits as stored" if found.same_bits else f"[red]stored: {alert.score!r}[/]"
    console.print(f"score {found.score:.6g} of {alert.threshold:.6g}: {same}")
    by = "by the record" if found.run == "live" else "the window's last record to come is"
    console.print(
        f"decision: {over} windows in a row over {rule.threshold:g}, {rule.raise_after} raise; "
        f"{by} at offset {found.decided_at} of partition {found.partition}"
    )
    console.print(_channels(found))
    console.print(_scores(found))
    console.print(_records(found))


def _view(found: "Explanation") -> str:
    alert = found.stored
    if alert.withdrawn:
        return (
            f"[red]withdrawn by view {alert.view_epoch}[/]: "
            "live raised it, a recomputation found that it should not have been"
        )
    if found.run == "live":
        return "of the live view"
    return f"of view {alert.view_epoch}, recomputed: every value has its place, however late"


def _last_run(found: "Explanation") -> Any:
    from itertools import takewhile

    return takewhile(lambda each: each.over, reversed(found.scores))


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="left" if column == "shape" else "right")
    return table


def _channels(found: "Explanation") -> Any:
    table = _table("channel", "present", "min", "mean", "max", "shape")
    for at, name in enumerate(found.profile.channels):
        values = found.window[:, at]
        summary = _summary(values)
        figures = [
            f"{summary[key]:.5g}" if key in summary else "" for key in ("min", "mean", "max")
        ]
        table.add_row(name, f"{summary['present']}/{len(values)}", *figures, _shape(values))
    return table


def _shape(values: "F32") -> str:
    """Means of parts of the window between their least and their greatest."""
    from math import isnan

    import numpy as np

    parts = np.array_split(values.astype(np.float64), min(_CELLS, len(values)))
    means = np.array([np.nanmean(p) if not np.isnan(p).all() else np.nan for p in parts])
    if np.isnan(means).all():
        return ""
    low, high = np.nanmin(means), np.nanmax(means)
    span = max(high - low, 1e-300)
    levels = [(mean - low) / span * (len(_LEVELS) - 1) for mean in means.tolist()]
    return "".join(" " if isnan(level) else _LEVELS[round(level)] for level in levels)


def _scores(found: "Explanation") -> Any:
    table = _table("window end", "score", "")
    for each in found.scores:
        table.add_row(_time(each.window_end_us), f"{each.score:.6g}", "over" if each.over else "")
    return table


def _records(found: "Explanation") -> Any:
    table = _table("offset", "log time", "first sample", "last sample", "")
    for each in found.records:
        times = (each.log_time_us, each.first_us, each.last_us)
        table.add_row(str(each.offset), *map(_time, times), "late" if each.late else "")
    return table


def _time(time_us: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
