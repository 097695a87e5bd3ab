"""The short form of the chaos suite: a broker and a shard die under 100,000 samples/s."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.launch import environment_of
from fleetpulse.settings import Settings

TIMEOUT_S = 240


@pytest.mark.timeout(TIMEOUT_S + 30)
def test_nothing_is_lost_or_doubled_when_parts_die(tmp_path: Path) -> None:
    file = tmp_path / "chaos.json"
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "chaos", "--short", "--json", str(file)],
        env=os.environ | environment_of(Settings(data_folder=tmp_path)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert file.exists(), done.stdout + done.stderr
    report = json.loads(file.read_text())
    assert report["problems"] == [], done.stdout
    assert {fault["fault"] for fault in report["faults"]} == {
        "shard: kill -9",
        "controller broker: kill -9",
    }
    assert report["answered_frames"] > 0, "requests were answered 202"
    for name in ("scores", "alerts", "rollups in PostgreSQL", "alerts in PostgreSQL"):
        assert report["compared"][name] > 0, f"the run had no {name} to compare"
