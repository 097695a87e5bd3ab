"""`fleetpulse pause`, `resume`, `forget`: what they ask the stack, and what they say."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from cli.app import build
from fleetpulse.errors import RetryLater
from tests.simulator.scripted_server import ScriptedServer


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def server(asked: list[str]) -> Iterator[ScriptedServer]:
    def answer(method: str, path: str, _body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path == "/health":
            return 200, {}, b"{}"
        asked.append(f"{method} {path}")
        if "unknown" in path:
            error = {"error": {"field": "device_id", "reason": "is not known"}}
            return 404, {}, json.dumps(error).encode()
        return 202, {}, b'{"control": "x"}'

    server = ScriptedServer(answer)
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("arguments", "request_line", "told"),
    [
        (["pause", "pump-1"], "POST /api/v1/devices/pump-1/pause", "pump-1 is paused"),
        (["resume", "pump-1"], "POST /api/v1/devices/pump-1/resume", "pump-1 goes on"),
        (["resume", "--partition", "3"], "POST /api/v1/partitions/3/resume", "partition 3 goes on"),
        (["forget", "pump-1", "--yes"], "DELETE /api/v1/devices/pump-1", "pump-1 is deleted"),
        (["pause", "pump-1", "--json"], "POST /api/v1/devices/pump-1/pause", '"control": "x"'),
    ],
)
def test_each_verb_asks_once(
    server: ScriptedServer, asked: list[str], arguments: list[str], request_line: str, told: str
) -> None:
    result = CliRunner().invoke(build(), [*arguments, "--url", server.url])
    assert result.exit_code == 0, result.output
    assert asked == [request_line]
    assert told in result.output


def test_a_paused_partition_names_the_person(server: ScriptedServer, asked: list[str]) -> None:
    CliRunner().invoke(build(), ["pause", "--partition", "3", "--url", server.url])
    (request_line,) = asked
    assert request_line.startswith("POST /api/v1/partitions/3/pause?by=")


@pytest.mark.parametrize("arguments", [["pause"], ["resume", "pump-1", "--partition", "3"]])
def test_one_thing_is_named(arguments: list[str]) -> None:
    result = CliRunner().invoke(build(), arguments)
    assert result.exit_code == 2
    assert "name a device or a --partition" in result.output


def test_deleting_asks_first(server: ScriptedServer, asked: list[str]) -> None:
    arguments = ["forget", "pump-1", "--url", server.url]
    assert CliRunner().invoke(build(), arguments, input="n\n").exit_code == 1
    assert asked == []


def test_a_refusal_is_told(server: ScriptedServer) -> None:
    arguments = ["forget", "unknown", "--yes", "--url", server.url]
    result = CliRunner().invoke(build(), arguments)
    assert isinstance(result.exception, RetryLater)
    assert "is not known" in str(result.exception)
