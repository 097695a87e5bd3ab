"""`fleetpulse bench devices` on a small fleet."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import build


def test_a_small_fleet_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETPULSE_DATA_FOLDER", str(tmp_path))
    words = "bench devices --devices 600 --active 100 --memory-mb 4 --json -".split()
    result = CliRunner().invoke(build(), words)
    report = json.loads(result.stdout)
    assert result.exit_code == (report["activation_ms"]["p99"] > 50), "its status is the verdict"
    assert 50 < report["activated"] <= 600, "hardly a device was passive when it was its turn"
    assert report["windows"] >= 100, "an activated device did not get as far as a score"
    assert 0 < report["activation_ms"]["p50"] <= report["activation_ms"]["p99"]
    assert report["stored_bytes_per_device"] > 100
    assert not list(tmp_path.iterdir()), "the stored states were left behind"
