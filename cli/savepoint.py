"""`fleetpulse savepoint`, `rewind`, `upgrade`: keep a state, go back to it, let results change."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from adapters.snapshots.savepoints import Savepoint
    from fleetpulse.settings import Settings

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
POLL_S = 0.2


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(savepoint)
    app.command()(rewind)
    app.command()(upgrade)


def savepoint(
    name: Annotated[
        str | None, typer.Argument(help="Of the new savepoint; none: list them.")
    ] = None,
    *,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds until every partition has it.")
    ] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Keep every partition's state, each right behind one control record, to go back to."""
    from adapters.kafka.run_controls import ask_savepoint
    from adapters.snapshots.place import snapshot_files
    from adapters.snapshots.savepoints import described, savepoints
    from fleetpulse.errors import ConfigError
    from fleetpulse.identity import check_name
    from fleetpulse.settings import load_settings

    settings = load_settings()
    files, partitions = snapshot_files(settings), settings.kafka.partitions
    if name is None:
        show(savepoints(files, partitions=partitions), as_json=as_json)
        return
    before = described(files, check_name("name", name), partitions=partitions)
    if not before.problem:
        raise ConfigError(f"savepoint {name} exists: name another, or remove its folder")
    ask_savepoint(settings.kafka, name)
    show([_awaited(settings, before, timeout_s)], as_json=as_json)


def rewind(
    name: Annotated[str, typer.Argument(help="The savepoint.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Go back to a savepoint; the next start replays from there. The stack must be down."""
    import json
    from dataclasses import asdict

    from actors.rewind import rewind as rewound
    from actors.rewind import usable
    from cli.snapshot import refuse_beside_a_stack
    from devstack.servers import servers_alone
    from fleetpulse.identity import check_name
    from fleetpulse.settings import load_settings

    settings = load_settings()
    check_name("name", name)
    refuse_beside_a_stack(settings)
    usable(settings, name)
    if not yes:
        typer.confirm(f"delete what was written after {name}?", abort=True, err=True)
    with servers_alone(settings) as named:
        done = rewound(named, name)
    rows = ", ".join(f"{count:,} of {table}" for table, count in done.rows.items() if count)
    print(
        json.dumps(asdict(done))
        if as_json
        else f"back at {name}; deleted rows: {rows or 'none'}; {done.set_aside} later snapshots"
        " set aside; the next start replays from there"
    )


def upgrade(*, as_json: JsonOption = False) -> None:
    """Let results be those of this release's newest version, from a control record on."""
    import json

    from adapters.kafka.run_controls import raise_result_version
    from fleetpulse.settings import load_settings
    from fleetpulse.snapshot import RESULT_VERSION

    current, control = raise_result_version(load_settings().kafka, RESULT_VERSION)
    if as_json:
        told = {"from": current, "to": RESULT_VERSION, "control": control}
        print(json.dumps(told))
    elif control is None:
        print(f"results are version {current}, this release's newest: nothing to do")
    else:
        print(f"results are version {RESULT_VERSION} instead of {current} from {control} on")


def show(found: "list[Savepoint]", *, as_json: bool) -> None:
    """As a table, or as JSON."""
    import json
    import time
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    if as_json:
        print(json.dumps({"savepoints": [asdict(each) for each in found]}))
        return
    if not found:
        print("no savepoints yet")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("savepoint")
    for column in ("age s", "devices", "MB"):
        table.add_column(column, justify="right")
    table.add_column("offsets", overflow="fold")
    table.add_column("state", overflow="fold")
    for each in found:
        table.add_row(
            each.name,
            f"{time.time() - each.written_at_s:,.0f}",
            f"{each.devices:,}",
            f"{each.bytes / 1e6:,.1f}",
            " ".join(f"{partition}:{offset:,}" for partition, offset in each.offsets.items()),
            f"[red]{each.problem}[/]" if each.problem else "[green]ok[/]",
        )
    Console(highlight=False).print(table)


def _awaited(settings: "Settings", before: "Savepoint", timeout_s: float) -> "Savepoint":
    """The savepoint once every partition has come to its record."""
    import time

    from adapters.snapshots.place import snapshot_files
    from adapters.snapshots.savepoints import described
    from fleetpulse.errors import RetryLater

    files, partitions = snapshot_files(settings), settings.kafka.partitions
    deadline_s = time.monotonic() + timeout_s
    while True:
        found = described(files, before.name, partitions=partitions)
        waiting = [
            str(each)
            for each in range(partitions)
            if found.offsets.get(each, -1) <= before.offsets.get(each, -1)
        ]
        if not waiting and not found.problem:
            return found
        if time.monotonic() > deadline_s:
            raise RetryLater(
                f"savepoint {before.name} is not whole after {timeout_s:.0f} s: nothing of"
                f" partitions {', '.join(waiting)} (do their shards run? are they paused or far"
                " behind?); `fleetpulse savepoint` shows whether it is later"
            )
        time.sleep(POLL_S)
