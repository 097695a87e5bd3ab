"""Recorded series: read, shifted, sent; and what the engine says of NAB's temperatures."""

import json
from pathlib import Path

import numpy as np
import pytest

from fleetpulse.errors import ConfigError, InputError
from fleetpulse.profile import Profile, profile_from_yaml
from fleetpulse.settings import ModelSettings, Settings
from fleetpulse.telemetry_pb2 import Batch
from models.onnx_scorer import OnnxScorer
from simulator.labels import read_windows
from simulator.replay import Shifted, check_profile, fitting_profile
from simulator.series import Series, read_series
from simulator.verdict import Alert, Illness, judge
from tests.simulator.engine_run import EngineRun

NAB = Path(__file__).resolve().parents[2] / "data" / "nab"
NOW_US = 1_763_700_123_456_789
MINUTE_US = 60_000_000


def shipped_profiles() -> list[Profile]:
    folder = Settings().profiles_folder
    return [
        profile_from_yaml(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.yaml"))
    ]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "series.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("minutes_later", [0, 61])
@pytest.mark.parametrize("name", ["machine", "ambient"])
def test_alerts_lie_in_the_labelled_windows(name: str, minutes_later: int) -> None:
    path = NAB / f"{name}_temperature_system_failure.csv"
    series = read_series(path)
    profile = fitting_profile(series, shipped_profiles())
    now_us = NOW_US + minutes_later * MINUTE_US
    shifted = Shifted.to(series, profile, now_us)
    run = EngineRun(profile, OnnxScorer(ModelSettings()))
    for body in shifted.batches("pump-1", 0, len(series)):
        samples = [sample.SerializeToString() for sample in Batch.FromString(body).telemetry]
        run.feed([(b"default/pump-1", sample) for sample in samples], now_us)
    assert not run.rejected
    verdict = judge(
        [
            Illness("pump-1", "labelled", start, end + 1)
            for start, end in read_windows(NAB / "windows.json", path)
        ],
        [Alert("pump-1", alert.at_us - shifted.shift_us, alert.score) for alert in run.raised],
        grace_us=0,
    )
    assert verdict.kinds["labelled"].missed == 0, "a labelled window has no alert"
    assert not verdict.false_alerts, "an alert lies outside of the labelled windows"


def test_the_shift_keeps_distances_and_ends_within_a_hop_of_now() -> None:
    series = read_series(NAB / "machine_temperature_system_failure.csv")
    profile = fitting_profile(series, shipped_profiles())
    shifted = Shifted.to(series, profile, NOW_US)
    samples = [
        sample
        for body in shifted.batches("d", 0, len(series))
        for sample in Batch.FromString(body).telemetry
    ]
    sent_us = np.array([sample.ts * 1000 for sample in samples])
    assert np.array_equal(np.diff(sent_us), np.diff(series.t_us))
    assert 0 <= NOW_US - sent_us[-1] < 15 * MINUTE_US
    assert shifted.shift_us % (15 * MINUTE_US) == 0, "windows depend on the moment of the replay"
    assert [sample.metrics["value"] for sample in samples] == series.values[:, 0].tolist()


def test_the_profile_is_found_by_channels_and_spacing() -> None:
    found = [
        fitting_profile(read_series(NAB / f"{name}_temperature_system_failure.csv"), [*known]).name
        for known in [shipped_profiles()]
        for name in ("machine", "ambient")
    ]
    assert found == ["nab-5min", "nab-1h"]
    odd = Series(("value",), np.arange(10) * 7_000_000, np.zeros((10, 1)))
    with pytest.raises(ConfigError, match="value every 7 s: none; name one with --profile"):
        fitting_profile(odd, shipped_profiles())
    with pytest.raises(ConfigError, match="has no channel value"):
        check_profile(odd, next(p for p in shipped_profiles() if p.name == "rotating-machine"))


def test_a_series_older_than_its_profile_accepts_is_refused() -> None:
    profile = Profile.model_validate(
        {"name": "p", "channels": ["value"], "rate_hz": 1, "alert": {"threshold": 1}}
    )
    old = Series(("value",), np.array([0, 10**12]), np.zeros((2, 1)))
    with pytest.raises(InputError, match="accepts samples up to 86400 s old"):
        Shifted.to(old, profile, NOW_US)


def test_empty_cells_are_not_sent_and_columns_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "timestamp,a,b\n2024-01-01 00:00:00,1,2\n2024-01-01T00:00:01Z,,3\n")
    series = read_series(path)
    assert series.channels == ("a", "b")
    assert np.diff(series.t_us).tolist() == [1_000_000]
    profile = Profile.model_validate(
        {"name": "p", "channels": ["a", "b"], "rate_hz": 1, "alert": {"threshold": 1}}
    )
    (body,) = Shifted.to(series, profile, NOW_US).batches("d", 0, 2)
    first, second = Batch.FromString(body).telemetry
    assert (dict(first.metrics), dict(second.metrics)) == ({"a": 1, "b": 2}, {"b": 3})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "header must be timestamp,<channel>"),
        ("time,value\n", "header must be timestamp,<channel>.*not time,value"),
        ("timestamp,a,a\n", "column names must be distinct"),
        ("timestamp,value\n", "holds no samples"),
        ("timestamp,value\n2024-01-01,1,2\n", "series.csv:2: has 3 cells, the header has 2"),
        ("timestamp,value\nyesterday,1\n", "series.csv:2: timestamp 'yesterday' is not ISO 8601"),
        ("timestamp,value\n2024-01-01,high\n", "series.csv:2: value 'high' is not a number"),
        ("timestamp,value\n2024-01-01,nan\n", "series.csv:2: value must be finite"),
    ],
)
def test_a_bad_file_is_refused_naming_the_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_series(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.csv: No such file"):
        read_series(tmp_path / "nothing.csv")


def test_labels_take_a_plain_list_and_name_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "windows.json"
    path.write_text(json.dumps([["2024-01-01", "2024-01-02"]]), encoding="utf-8")
    ((start_us, end_us),) = read_windows(path, tmp_path / "x.csv")
    assert end_us - start_us == 86_400_000_000
    path.write_text(json.dumps({"y.csv": []}), encoding="utf-8")
    with pytest.raises(InputError, match=r"has 0 entries for x\.csv"):
        read_windows(path, tmp_path / "x.csv")
    path.write_text(json.dumps([["2024-01-01"]]), encoding="utf-8")
    with pytest.raises(InputError, match=r"must hold \[start, end\] pairs"):
        read_windows(path, tmp_path / "x.csv")
