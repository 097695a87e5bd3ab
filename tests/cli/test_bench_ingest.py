"""`fleetpulse bench ingest`, in short turns."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import build


@pytest.mark.timeout(300)
def test_the_ingest_is_measured_beside_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETPULSE_DATA_FOLDER", str(tmp_path))
    words = "bench ingest --seconds 0.5 --connections 16 --rate 200 --json -".split()
    result = CliRunner().invoke(build(), words)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["problems"] == []
    assert list(report["statuses"]) == ["202"], "something was not accepted"
    assert report["requests_per_s"] > 0
    assert 0 < report["paced"]["requests_per_s"] <= 201
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert {"ingest", "bound", "broker", "http proxy", "generator"} <= set(
        report["cpu_us_per_request"]
    )
    assert all(cost > 0 for cost in report["stage_us_per_request"].values())
    ours, bound = (report[f"{whose}requests_per_replica_cpu_s"] for whose in ("", "bound_"))
    assert ours > bound, "the short way costs more than the long one, or is not taken"
