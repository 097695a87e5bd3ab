"""`fleetpulse savepoint`: what is listed, what is awaited, what is refused."""

import json
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from adapters.kafka.admin import KafkaAdmin
from adapters.snapshots.files import LocalFiles
from adapters.snapshots.store import FileSnapshotStore
from cli.app import build
from devstack.state import StackState, write_state
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import KafkaSettings
from tests.contracts.test_snapshot_store import saved, snapshot


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a telemetry topic with two partitions."""
    monkeypatch.setenv("FLEETPULSE_DATA_FOLDER", str(tmp_path))
    monkeypatch.setenv("FLEETPULSE_KAFKA__PARTITIONS", "2")
    return tmp_path / "snapshots"


def keep(folder: Path, name: str, partition: int, next_offset: int) -> None:
    """As a shard does."""
    store = FileSnapshotStore(LocalFiles(folder), generations=2)
    states = saved(store, next_offset, partition=partition)
    store.keep(snapshot(next_offset, states, partition=partition), name)


def told(*words: str) -> dict:  # type: ignore[type-arg]
    result = CliRunner().invoke(build(), [*words, "--json"])
    assert result.exit_code == 0, result.output
    answer: dict = json.loads(result.stdout)  # type: ignore[type-arg]
    return answer


def refused(*words: str) -> str:
    error = CliRunner().invoke(build(), list(words)).exception
    assert isinstance(error, FleetpulseError)
    return str(error)


def test_savepoints_are_listed_with_what_they_lack(folder: Path) -> None:
    keep(folder, "monday", 0, 10)
    (found,) = told("savepoint")["savepoints"]
    assert (found["name"], found["offsets"]) == ("monday", {"0": 10})
    assert found["problem"] == "partitions 1 are missing"
    keep(folder, "monday", 1, 20)
    (found,) = told("snapshot", "ls")["savepoints"]
    assert (found["offsets"], found["devices"], found["problem"]) == ({"0": 10, "1": 20}, 10, "")
    assert found["bytes"] > 1000
    assert "monday" in CliRunner().invoke(build(), ["savepoint"]).output


def test_a_repeated_savepoint_replaces_what_it_had_of_a_partition(folder: Path) -> None:
    keep(folder, "monday", 0, 10)
    keep(folder, "monday", 0, 30)
    (found,) = told("savepoint")["savepoints"]
    assert found["offsets"] == {"0": 30}
    assert len(list((folder / "savepoints" / "monday").rglob("segments/*"))) == 1


def test_a_savepoint_outlives_the_snapshots(folder: Path) -> None:
    keep(folder, "monday", 0, 10)
    keep(folder, "monday", 1, 10)
    for home in folder.glob("partition-*"):
        for file in home.rglob("*.snapshot"):
            file.unlink()
        for file in home.rglob("segments/*"):
            file.unlink()
    place = str(folder / "savepoints" / "monday")
    assert told("snapshot", "restore", "--from", place, "--yes")["restored"] == {"0": 10, "1": 10}
    assert told("snapshot", "inspect")["generations"][0]["problem"] == ""


@pytest.mark.parametrize(("name", "why"), [("a/b", "must be"), ("..", "must be")])
def test_a_name_must_be_one_of_a_folder(folder: Path, name: str, why: str) -> None:
    assert why in refused("savepoint", name)


def test_a_whole_savepoint_is_not_replaced(folder: Path) -> None:
    for partition in (0, 1):
        keep(folder, "monday", partition, 10)
    assert "exists" in refused("savepoint", "monday")


def test_who_asks_without_shards_is_told_what_is_missing(
    folder: Path, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETPULSE_KAFKA__BOOTSTRAP", kafka.servers)
    monkeypatch.setenv("FLEETPULSE_KAFKA__TOPIC_PREFIX", f"{kafka.topic_prefix}alone.")
    settings = kafka.model_copy(
        update={"partitions": 2, "topic_prefix": f"{kafka.topic_prefix}alone."}
    )
    KafkaAdmin(settings).create_topics()
    keep(folder, "monday", 0, 10)
    why = refused("savepoint", "monday", "--timeout", "1")
    assert "nothing of partitions 0, 1" in why, "what an earlier try kept was taken for an answer"
    before = KafkaAdmin(settings).watermarks()[0][1]
    assert told("upgrade") == {"from": 2, "to": 2, "control": None}
    assert KafkaAdmin(settings).watermarks()[0][1] == before, "a no-op wrote a record"


def test_nobody_goes_back_beside_a_running_stack(folder: Path) -> None:
    me = psutil.Process()
    write_state(folder.parent, StackState("id", me.pid, me.create_time(), "ready"))
    assert "fleetpulse down" in refused("rewind", "monday", "--yes")


def test_nobody_goes_back_to_what_is_not_whole_or_of_another_version(folder: Path) -> None:
    assert "no savepoint monday" in refused("rewind", "monday", "--yes")
    keep(folder, "monday", 0, 10)
    assert "partitions 1 are missing" in refused("rewind", "monday", "--yes")
    keep(folder, "monday", 1, 10)
    assert "result version 1" in refused("rewind", "monday", "--yes")
