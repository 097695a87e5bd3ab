"""`fleetpulse snapshot`: listing, verifying and putting generations back."""

import json
import os
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from adapters.snapshots.files import LocalFiles
from adapters.snapshots.store import FileSnapshotStore
from cli.app import build
from devstack.state import StackState, write_state
from fleetpulse.errors import ConfigError
from tests.contracts.test_snapshot_store import PARTITION, saved


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two generations of one partition."""
    monkeypatch.setenv("FLEETPULSE_DATA_FOLDER", str(tmp_path))
    store = FileSnapshotStore(LocalFiles(tmp_path / "snapshots"), generations=2)
    saved(store, 10)
    saved(store, 20)
    return tmp_path / "snapshots"


def told(*words: str, status: int = 0) -> dict:  # type: ignore[type-arg]
    result = CliRunner().invoke(build(), ["snapshot", *words, "--json"])
    assert result.exit_code == status, result.output
    answer: dict = json.loads(result.stdout)  # type: ignore[type-arg]
    return answer


def test_generations_are_listed_newest_first(folder: Path) -> None:
    found = told("ls")["generations"]
    assert [(g["partition"], g["next_offset"]) for g in found] == [(PARTITION, 20), (PARTITION, 10)]
    newest = found[0]
    assert (newest["devices"], newest["active"], newest["problem"]) == (5, 5, "")
    assert newest["profiles"] == {"pump@1": 5}
    assert newest["bytes"] > 1000
    shown = CliRunner().invoke(build(), ["snapshot", "ls"])
    assert "pump@1" in shown.output
    assert told("ls", "--partition", "1")["generations"] == []


def test_a_flipped_bit_of_a_device_is_found_by_inspect(folder: Path) -> None:
    told("inspect")
    newest = max((folder / f"partition-{PARTITION:04d}" / "segments").iterdir())
    data = bytearray(newest.read_bytes())
    data[-3] ^= 4
    newest.write_bytes(data)
    problems = [g["problem"] for g in told("inspect", status=1)["generations"]]
    assert "checksum" in problems[0]
    assert problems[1] == ""


def test_going_back_sets_the_newer_one_aside(folder: Path) -> None:
    assert told("restore", "--offset", "10", "--yes") == {
        "restored": {str(PARTITION): 10},
        "set_aside": 1,
    }
    store = FileSnapshotStore(LocalFiles(folder), generations=2)
    loaded = store.load(PARTITION)
    assert loaded is not None
    assert loaded.next_offset == 10
    (aside,) = folder.rglob("*20.snapshot.replaced")
    passed(folder, 23 * 3600)
    saved(store, 11)
    saved(store, 12)
    aside.rename(aside.with_suffix(""))
    again = store.load(PARTITION)
    assert again is not None
    assert again.next_offset == 20, "for a day one may change one's mind"


def test_what_was_set_aside_goes_after_a_day(folder: Path) -> None:
    told("restore", "--offset", "10", "--yes")
    store = FileSnapshotStore(LocalFiles(folder), generations=1)
    passed(folder, 25 * 3600)
    saved(store, 11)
    assert [file.name for file in folder.rglob("*.snapshot*")] == [f"{11:020d}.snapshot"]
    assert len(list(folder.rglob("segments/*"))) == 1


def passed(folder: Path, seconds: float) -> None:
    """All that is written now was written so long ago."""
    then_s = time.time() - seconds
    for file in folder.rglob("*"):
        os.utime(file, (then_s, then_s))


def test_a_generation_is_copied_in_from_another_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETPULSE_DATA_FOLDER", str(tmp_path / "other"))
    told("restore", "--from", str(folder), "--yes")
    copied = FileSnapshotStore(LocalFiles(tmp_path / "other" / "snapshots"), generations=2)
    loaded = copied.load(PARTITION)
    assert loaded is not None
    assert loaded.next_offset == 20


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--offset", "15"], "no generation at offset 15"),
        (["--partition", "1"], "no generation of partitions"),
    ],
)
def test_what_is_not_there_is_not_restored(folder: Path, words: list[str], why: str) -> None:
    result = CliRunner().invoke(build(), ["snapshot", "restore", "--yes", *words])
    assert isinstance(result.exception, ConfigError)
    assert why in str(result.exception)


def test_nothing_is_restored_beside_a_running_stack(folder: Path) -> None:
    me = psutil.Process()
    write_state(folder.parent, StackState("id", os.getpid(), me.create_time(), "ready"))
    result = CliRunner().invoke(build(), ["snapshot", "restore", "--yes"])
    assert "fleetpulse down" in str(result.exception)
    assert len(list(folder.rglob("*.snapshot"))) == 2
