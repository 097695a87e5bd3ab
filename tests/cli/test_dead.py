"""`fleetpulse dead` against a real broker."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.durable import DurableRecord, DurableWriter
from adapters.kafka.encode import encode_rejected
from cli.dead import register
from fleetpulse.effects import Reason, Rejection
from fleetpulse.settings import KafkaSettings

Run = Callable[..., Any]
BAD_KEY = Rejection(0, 7, 1_700_000_000_000_000, b"[red]no slash", b"x", Reason.BAD_KEY, "no [/]")
CUT_OFF = Rejection(1, 3, 1_700_000_001_000_000, b"default/a", b"\x41", Reason.UNDECODABLE, "cut")


@dataclass(frozen=True)
class Answer:
    code: int
    output: str

    @property
    def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.output)["records"]
        return found


def dead(*arguments: str, typed: str = "") -> Answer:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    result = CliRunner().invoke(app, ["dead", *arguments], input=typed)
    return Answer(result.exit_code, result.output)


@pytest.fixture
def run(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Run:
    """The verb, on topics of this test's own that hold two dead records."""
    prefix = f"{kafka.topic_prefix}{request.node.name}."
    settings = kafka.model_copy(update={"topic_prefix": prefix, "partitions": 2})
    KafkaAdmin(settings).create_topics()
    DurableWriter(settings, client_id="test").write(
        [
            DurableRecord(settings.topic("telemetry.dead"), r.key, encode_rejected(r), r.partition)
            for r in (BAD_KEY, CUT_OFF)
        ],
        timeout_s=20,
    )
    monkeypatch.setenv("FLEETPULSE_KAFKA__BOOTSTRAP", settings.servers)
    monkeypatch.setenv("FLEETPULSE_KAFKA__TOPIC_PREFIX", prefix)
    monkeypatch.setenv("FLEETPULSE_KAFKA__PARTITIONS", "2")
    return dead


def test_ls_says_where_and_why(run: Run) -> None:
    text = run("ls").output
    assert "[red]no slash" in text, "what a device sent is shown as it is"
    assert "undecodable" in text
    by_reason = {each["reason"]: each for each in run("ls", "--json").records}
    assert (by_reason["bad_key"]["partition"], by_reason["bad_key"]["offset"]) == (0, 7)
    assert by_reason["undecodable"]["value_base64"] == "QQ=="


def test_ls_is_bounded_and_says_that_there_is_more(run: Run) -> None:
    assert "and more" in run("ls", "--limit", "1").output
    assert len(run("ls", "--limit", "1", "--json").records) == 1


def test_filters_choose_records(run: Run) -> None:
    assert [r["offset"] for r in run("ls", "--json", "--reason", "bad_key").records] == [7]
    assert [r["offset"] for r in run("ls", "--json", "--partition", "1").records] == [3]
    assert run("ls", "--json", "--partition", "1", "--offset", "4").records == []


@pytest.mark.parametrize("arguments", [("--reason", "dislike"), ("--offset", "3")])
def test_a_filter_that_makes_no_sense_is_refused(arguments: tuple[str, str]) -> None:
    assert dead("ls", *arguments).code == 2


def test_retry_sends_what_was_chosen_once(run: Run) -> None:
    answer = run("retry", "--reason", "undecodable", "--yes", "--json")
    assert json.loads(answer.output) == {"sent": 1}
    assert [r["reason"] for r in run("ls", "--json").records] == ["bad_key"]
    assert "sent 0" in run("retry", "--reason", "undecodable", "--yes").output


def test_retry_asks_first(run: Run) -> None:
    assert run("retry", typed="n\n").code == 1
    assert len(run("ls", "--json").records) == 2, "nothing was sent"
    assert "sent 2" in run("retry", typed="y\n").output
