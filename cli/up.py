"""`fleetpulse up`: start the stack in the background."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(up)


def up(
    as_json: Annotated[bool, typer.Option("--json", help="Print the state as JSON.")] = False,
) -> None:
    """Start Kafka, PostgreSQL, Ray, the shards and the HTTP applications; return when ready."""
    import dataclasses
    import json

    from cli.progress import StartProgress
    from devstack.launch import StackOwner
    from fleetpulse.settings import load_settings

    owner = StackOwner(load_settings())
    try:
        with StartProgress(quiet=as_json) as progress:
            state = owner.wait_ready(progress.show)
    except KeyboardInterrupt:
        owner.stop()
        raise
    if as_json:
        print(json.dumps(dataclasses.asdict(state)))
    elif state.phase == "ready":
        print(f"ready: {state.page}  (stop with `fleetpulse down`)")
    raise typer.Exit(0 if state.phase == "ready" else 1)
