"""`fleetpulse pause`, `resume` and `forget`: a device stands still, goes on, or is deleted."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from simulator.http_client import Answer

Device = Annotated[str | None, typer.Argument(help="Id of a device.", show_default=False)]
Partition = Annotated[
    int | None, typer.Option("--partition", min=0, help="A telemetry partition instead.")
]
Tenant = Annotated[str, typer.Option(help="Whose device it is.")]
Url = Annotated[str | None, typer.Option(help="Of the stack; default: the settings'.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(pause)
    app.command()(resume)
    app.command()(forget)


def pause(
    device: Device = None,
    *,
    partition: Partition = None,
    tenant: Tenant = "default",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Leave a device's or a partition's records in the log until it is resumed."""
    from getpass import getuser
    from urllib.parse import quote

    path = f"{_place(device, partition)}/pause"
    path += f"?by={quote(getuser())}" if partition is not None else ""
    _told(_ask("POST", path, tenant, url), f"{_name(device, partition)} is paused", as_json)


def resume(
    device: Device = None,
    *,
    partition: Partition = None,
    tenant: Tenant = "default",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Go on with a paused device or partition."""
    answer = _ask("POST", f"{_place(device, partition)}/resume", tenant, url)
    _told(answer, f"{_name(device, partition)} goes on", as_json)


def forget(
    device: Annotated[str, typer.Argument(help="Id of the device.")],
    *,
    tenant: Tenant = "default",
    url: Url = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a device's state and rows, and tell the lake. A later record begins it anew."""
    if not yes:
        typer.confirm(f"delete everything of {device}?", abort=True, err=True)
    answer = _ask("DELETE", _place(device, None), tenant, url)
    _told(answer, f"{device} is deleted", as_json)


def _place(device: str | None, partition: int | None) -> str:
    from fleetpulse.identity import check_name

    if (device is None) == (partition is None):
        raise typer.BadParameter("name a device or a --partition")
    if device is None:
        return f"/api/v1/partitions/{partition}"
    return f"/api/v1/devices/{check_name('device', device)}"


def _name(device: str | None, partition: int | None) -> str:
    return device if device is not None else f"partition {partition}"


def _ask(method: str, path: str, tenant: str, url: str | None) -> "Answer":
    from fleetpulse.errors import RetryLater
    from fleetpulse.settings import load_settings
    from simulator.http_client import HttpConnection

    http = load_settings().http
    with HttpConnection(url or f"http://{http.host}:{http.port}") as connection:
        connection.check_running()
        answer = connection.request(method, path, {"x-tenant": tenant})
    if answer.status != 202:
        raise RetryLater(answer.reason)
    return answer


def _told(answer: "Answer", words: str, as_json: bool) -> None:
    import json

    print(json.dumps(answer.content) if as_json else words)
