"""`fleetpulse dead`: records that could not be used, and sending them once more."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from adapters.kafka.dead_letters import DeadLetter, DeadLetters
    from fleetpulse.effects import Rejection

ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only this reason, as in `ls`.")]
PartitionOption = Annotated[
    int | None, typer.Option("--partition", min=0, help="Only this telemetry partition.")
]
OffsetOption = Annotated[
    int | None, typer.Option("--offset", min=0, help="Only the record at this offset of it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the verb and its two words."""
    dead = typer.Typer(help="Records that could not be used: list them, send them again.")
    dead.command()(ls)
    dead.command()(retry)
    app.add_typer(dead, name="dead", no_args_is_help=True)


def ls(
    *,
    reason: ReasonOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most records to list.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List records that were refused and not sent again: where they were, and why."""
    import json
    from itertools import islice

    wanted = _wanted(reason, partition, offset)
    found = list(islice(_dead_letters().pending(wanted), limit + 1))
    shown = found[:limit]
    if as_json:
        more = len(found) > limit
        print(json.dumps({"records": [_as_json(each) for each in shown], "more": more}))
        return
    _print(shown)
    if len(found) > limit:
        print(f"and more: --limit {limit * 10}")


def retry(
    *,
    reason: ReasonOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send them the way of telemetry again, each once. What is still wrong comes back here."""
    import json

    letters = _dead_letters()
    wanted = _wanted(reason, partition, offset)
    if not yes:
        waiting = sum(1 for _ in letters.pending(wanted))
        if waiting:
            typer.confirm(f"send {waiting} records again?", abort=True, err=True)
    sent = letters.retry(letters.pending(wanted))
    print(json.dumps({"sent": sent}) if as_json else f"sent {sent} records again")


def _dead_letters() -> "DeadLetters":
    from adapters.kafka.dead_letters import DeadLetters
    from fleetpulse.settings import load_settings

    return DeadLetters(load_settings().kafka)


def _wanted(
    reason: str | None, partition: int | None, offset: int | None
) -> "Callable[[Rejection], bool]":
    from fleetpulse.effects import Reason

    if reason is not None and reason not in set(Reason):
        raise typer.BadParameter(f"none of {', '.join(Reason)}", param_hint="--reason")
    if offset is not None and partition is None:
        raise typer.BadParameter("an offset is one of a --partition", param_hint="--offset")

    def wanted(rejection: "Rejection") -> bool:
        return (
            (reason is None or rejection.reason == reason)
            and (partition is None or rejection.partition == partition)
            and (offset is None or rejection.offset == offset)
        )

    return wanted


def _as_json(letter: "DeadLetter") -> dict[str, Any]:
    from base64 import b64encode

    rejection = letter.rejection
    return {
        "partition": rejection.partition,
        "offset": rejection.offset,
        "log_time_us": rejection.log_time_us,
        "reason": rejection.reason,
        "detail": rejection.detail,
        "key": rejection.key.decode(errors="replace"),
        "value_base64": b64encode(rejection.value).decode(),
    }


def _print(letters: "list[DeadLetter]") -> None:
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not letters:
        print("no dead records")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("partition", "offset", "log time", "key", "bytes", "reason", "detail"):
        right, free = column in {"offset", "bytes"}, column == "detail"
        table.add_column(column, justify="right" if right else "left", no_wrap=not free)
    for letter in letters:
        rejection = letter.rejection
        log_time = datetime.fromtimestamp(rejection.log_time_us / 1e6, UTC)
        cells = (
            str(rejection.partition),
            str(rejection.offset),
            f"{log_time:%Y-%m-%d %H:%M:%S}",
            repr(rejection.key.decode(errors="replace")),
            str(len(rejection.value)),
            rejection.reason.value,
            rejection.detail,
        )
        # As text: keys and details hold what devices sent, which must not be read as markup.
        table.add_row(*map(Text, cells))
    Console(highlight=False).print(table)
