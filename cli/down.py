"""`fleetpulse down`: stop the stack."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(down)


def down(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Refuse new input, commit, snapshot, end every process of the stack: within 15 s."""
    import json
    import time

    from rich.console import Console

    from devstack.launch import stop_stack
    from fleetpulse.settings import load_settings

    settings = load_settings()
    began = time.monotonic()
    with Console(quiet=as_json).status("stopping"):
        stopped = stop_stack(settings.data_folder.absolute())
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        print(json.dumps({"stopped": stopped is not None, "seconds": seconds}))
    elif stopped:
        print(f"stopped in {seconds} s; the next start carries on from {settings.data_folder}")
    else:
        print(f"no stack runs in {settings.data_folder}")
