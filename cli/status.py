"""`fleetpulse status`: what runs, how far it is, how quickly it would recover."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from devstack.status import Status


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(status)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
) -> None:
    """Show parts, processes, shards with their lag, and the recovery time the broker allows."""
    import json

    from rich.console import Console

    from devstack.status import status_of
    from fleetpulse.settings import load_settings

    found = status_of(load_settings())
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        _print(Console(highlight=False), found)
    ready = found.stack is not None and found.stack.phase == "ready"
    raise typer.Exit(0 if ready else 1)


def _print(console: "Console", status: "Status") -> None:
    if status.stack is None:
        console.print(f"no stack runs in {status.data_folder}", soft_wrap=True)
    else:
        console.print(f"[bold]{status.stack.phase}[/]  {status.stack.page}  pid {status.stack.pid}")
        console.print(_parts(status))
        if status.fleet:
            console.print(_shards(status.fleet))
        console.print(_processes(status))
        for problem in status.stack.problems:
            console.print(f"[red]✗[/] {problem}", soft_wrap=True)
    if status.recovery is None:
        console.print(f"broker: {status.broker}", soft_wrap=True)
        return
    recovery = status.recovery
    console.print(
        f"recovery: a killed shard's partitions move within {recovery.takeover_s:g} s and replay "
        f"at most {recovery.replay_s:g} s; read_committed readers wait at most "
        f"{recovery.readers_wait_s:g} s",
        soft_wrap=True,
    )
    if recovery.remedy:
        console.print(f"[yellow]slow recovery:[/] {recovery.remedy}", soft_wrap=True)


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        right = column in {"lag", "devices", "samples", "alerts", "busy", "MB", "CPU s", "pid"}
        table.add_column(column, justify="right" if right else "left")
    return table


def _parts(status: "Status") -> "Table":
    assert status.stack is not None
    table = _table("part", "state", "where")
    for part in status.stack.parts:
        table.add_row(part.name, part.phase, part.detail)
    return table


def _shards(fleet: dict[str, Any]) -> "Table":
    table = _table("shard", "pid", "partitions", "devices", "lag", "busy", "samples", "alerts")
    for shard in fleet["shards"]:
        partitions = [f"{p['partition']}" + _mark(p) for p in shard["partitions"]]
        table.add_row(
            shard["shard"],
            str(shard["pid"]),
            " ".join(partitions),
            f"{shard['devices']:,}",
            f"{sum(p['lag'] for p in shard['partitions']):,}",
            f"{shard['busy_fraction']:.0%}",
            f"{shard['samples_total']:,}",
            f"{shard['alerts_total']:,}",
        )
        for partition in shard["partitions"]:
            if partition["remedy"]:
                table.add_row("", "", f"{partition['partition']}: {partition['remedy']}")
    return table


def _mark(partition: dict[str, Any]) -> str:
    return "" if partition["state"] == "running" else f"({partition['state']})"


def _processes(status: "Status") -> "Table":
    table = _table("process", "pid", "MB", "CPU s")
    for process in status.processes:
        table.add_row(process.name, str(process.pid), str(process.memory_mb), f"{process.cpu_s:g}")
    return table
