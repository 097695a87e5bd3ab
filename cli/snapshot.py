"""`fleetpulse snapshot`: what is stored of the shards, whether it is whole, and going back."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from adapters.snapshots.files import Files
    from adapters.snapshots.inspection import Generation
    from adapters.snapshots.savepoints import Savepoint
    from fleetpulse.settings import Settings

PartitionOption = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="Only this partition; repeatable.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
FromOption = Annotated[
    str | None,
    typer.Option("--from", help="A folder or s3://bucket/prefix to copy the snapshots from."),
]


def register(app: typer.Typer) -> None:
    """Add the verb and its words."""
    snapshot = typer.Typer(help="Stored states of the shards: list, verify, put back.")
    snapshot.command()(ls)
    snapshot.command()(inspect)
    snapshot.command()(restore)
    app.add_typer(snapshot, name="snapshot", no_args_is_help=True)


def ls(*, partition: PartitionOption = None, as_json: JsonOption = False) -> None:
    """List generations: offset, age, devices, bytes, and whether their files are there."""
    from adapters.snapshots.place import snapshot_files
    from adapters.snapshots.savepoints import savepoints
    from fleetpulse.settings import load_settings

    settings = load_settings()
    kept = savepoints(snapshot_files(settings), partitions=settings.kafka.partitions)
    _show(_generations(settings, partition, thorough=False), kept, as_json=as_json)


def inspect(*, partition: PartitionOption = None, as_json: JsonOption = False) -> None:
    """Read every generation and every device's state, and verify all checksums."""
    from fleetpulse.settings import load_settings

    found = _generations(load_settings(), partition, thorough=True)
    _show(found, [], as_json=as_json)
    if any(each.problem for each in found):
        raise typer.Exit(1)


def restore(
    *,
    partition: PartitionOption = None,
    offset: Annotated[
        int | None, typer.Option(min=0, help="The generation to go back to; else the newest.")
    ] = None,
    source: FromOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put a generation back, or copy one in. Newer ones are set aside; the stack must be down."""
    import json

    from adapters.snapshots.inspection import chosen, copy_in, put_back
    from adapters.snapshots.place import snapshot_files
    from adapters.snapshots.store import FileSnapshotStore
    from fleetpulse.settings import load_settings

    settings = load_settings()
    refuse_beside_a_stack(settings)
    files = snapshot_files(settings)
    origin = files if source is None else _files_of(settings, source)
    wanted = chosen(FileSnapshotStore(origin, generations=2), partition, offset)
    names = ", ".join(f"{each.partition} at {each.next_offset}" for each in wanted)
    if not yes:
        typer.confirm(f"go back to partitions {names}?", abort=True, err=True)
    store = FileSnapshotStore(files, generations=2)
    aside = 0
    for each in wanted:
        if source is not None:
            copy_in(origin, files, FileSnapshotStore(origin, generations=2), each)
        aside += len(put_back(store, files, each))
    told = {"restored": {str(e.partition): e.next_offset for e in wanted}, "set_aside": aside}
    print(json.dumps(told) if as_json else f"restored {names}; {aside} newer set aside")


def _generations(
    settings: "Settings", partitions: list[int] | None, *, thorough: bool
) -> "list[Generation]":
    from adapters.snapshots.inspection import inspect as inspected
    from adapters.snapshots.place import snapshot_store

    store = snapshot_store(settings)
    return [
        inspected(store, each, thorough=thorough)
        for each in store.ls()
        if not partitions or each.partition in partitions
    ]


def _files_of(settings: "Settings", place: str) -> "Files":
    from pathlib import Path

    from adapters.snapshots.files import LocalFiles
    from adapters.snapshots.s3 import S3Files

    if place.startswith("s3://"):
        return S3Files(place, endpoint=settings.snapshot.endpoint)
    return LocalFiles(Path(place))


def refuse_beside_a_stack(settings: "Settings") -> None:
    """What shards read and write must not be changed under them."""
    from devstack.state import running_stack
    from fleetpulse.errors import ConfigError

    stack = running_stack(settings.data_folder)
    if stack is not None:
        raise ConfigError(f"a stack runs (pid {stack.pid}): stop it with `fleetpulse down` first")


def _show(found: "list[Generation]", kept: "list[Savepoint]", *, as_json: bool) -> None:
    import json
    import time
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from cli.savepoint import show as show_savepoints

    if as_json:
        told = {
            "generations": [asdict(each) for each in found],
            "savepoints": [asdict(each) for each in kept],
        }
        print(json.dumps(told))
        return
    if not found:
        print("no snapshots yet")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("partition", "offset", "age s", "devices", "active", "MB", "format"):
        table.add_column(name, justify="right")
    table.add_column("profiles")
    table.add_column("state", overflow="fold")
    for each in found:
        table.add_row(
            str(each.partition),
            f"{each.next_offset:,}",
            f"{time.time() - each.written_at_s:,.0f}",
            f"{each.devices:,}",
            f"{each.active:,}",
            f"{each.bytes / 1e6:,.1f}",
            str(each.format_version),
            " ".join(each.profiles),
            f"[red]{each.problem}[/]" if each.problem else "[green]ok[/]",
        )
    Console(highlight=False).print(table)
    if kept:
        show_savepoints(kept, as_json=False)
