"""The `fleetpulse` command. A verb's work is imported when it runs, so that `--help` is quick."""

import json
import sys
from importlib import import_module

import typer

from fleetpulse.errors import ConfigError, FleetpulseError

VERBS = (
    "cli.demo",
    "cli.up",
    "cli.down",
    "cli.status",
    "cli.shards",
    "cli.simulate",
    "cli.replay",
    "cli.dead",
    "cli.snapshot",
    "cli.savepoint",
    "cli.operate",
    "cli.explain",
    "cli.bench",
    "cli.capacity",
    "cli.chaos",
)


def build() -> typer.Typer:
    """The command with all its verbs."""
    app = typer.Typer(
        name="fleetpulse",
        help="Device actors for sensor fleets: scores windows with ONNX models, live.",
        epilog="Settings come from the environment (FLEETPULSE_…, see docs/settings.md).",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for verb in VERBS:
        import_module(verb).register(app)
    return app


def main() -> None:
    """Entry point; an error of ours is one line on stderr, not a traceback."""
    try:
        build()()
    except FleetpulseError as error:
        if "--json" in sys.argv:
            print(json.dumps({"error": str(error)}))
        else:
            typer.secho(str(error), fg=typer.colors.RED, err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


if __name__ == "__main__":
    main()
