"""The model of capacity: it says what was measured, and of more devices that they need more."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.capacity.constants import FILE, ROLES, YARDSTICK, Constants
from benchmarks.capacity.fit import ERROR_MAX, fitted, foretell, non_negative
from benchmarks.capacity.model import FleetSize, batches_per_s, capacity
from benchmarks.scale.core import measure
from benchmarks.scale.run import HELD_OUT
from benchmarks.scale.shape import BASE
from fleetpulse.profile import profile_from_yaml
from fleetpulse.settings import load_settings

CONSTANTS = Constants.read()
SMALL = FleetSize(devices=1000, rate_hz=200)


@pytest.mark.parametrize(
    "more",
    [
        {"devices": 2000},
        {"rate_hz": 400},
        {"channels": 12},
        {"model_us": 500.0},
        {"frame_samples": 1},
        {"hop": 16},
    ],
    ids=str,
)
def test_more_costs_more(more: dict[str, Any]) -> None:
    less, greater = capacity(SMALL, CONSTANTS), capacity(replace(SMALL, **more), CONSTANTS)
    assert sum(greater.cpu.values()) > sum(less.cpu.values())
    assert greater.shards >= less.shards
    assert sum(greater.disk_gb.values()) >= sum(less.disk_gb.values())


def test_retention_and_replication_are_disk() -> None:
    less = capacity(SMALL, CONSTANTS)
    more = capacity(replace(SMALL, replication=3, minute_days=180), CONSTANTS)
    assert more.disk_gb["kafka"] == pytest.approx(3 * less.disk_gb["kafka"], rel=0.01)
    assert more.disk_gb["postgres"] > less.disk_gb["postgres"]
    assert more.cpu == less.cpu


def test_a_shard_is_never_asked_for_more_than_a_core() -> None:
    needs = capacity(replace(SMALL, devices=100_000), CONSTANTS)
    assert needs.cpu["shard"] / needs.shards <= 0.7
    assert needs.partitions >= 2 * needs.shards


def test_a_ring_is_as_long_as_the_profile_s() -> None:
    settings = load_settings()
    path = settings.profiles_folder / f"{settings.default_profile}.yaml"
    profile = profile_from_yaml(path.read_text())
    assert SMALL.ring_slots == profile.ring_slots
    assert SMALL.channels == CONSTANTS.channels == len(profile.channels)


@pytest.mark.parametrize("channels", [1, 6, 20])
def test_the_bytes_of_a_device_are_those_of_the_core(
    monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    monkeypatch.setattr("benchmarks.scale.core.SAMPLES", 1)
    shape = replace(BASE, devices=50, channels=channels, step_records=50)
    measured = measure(shape).bytes_per_device
    ring = BASE.window + 2 * shape.profile.block_samples_max
    expected = CONSTANTS.device_bytes + channels * (CONSTANTS.channel_bytes + 4 * ring)
    assert measured == pytest.approx(expected, rel=0.05)


def load(
    devices: int,
    frame_samples: int,
    constants: Constants,
    *,
    rate_hz: float = 200,
    shards: int = 2,
    partitions: int = 4,
) -> dict[str, Any]:
    """As a stack would report that does what the model says."""
    fleet = FleetSize(devices, rate_hz, frame_samples=frame_samples, lateness_s=0.0)
    seconds = 10.0
    samples = fleet.samples_per_s * seconds
    records = fleet.records_per_s * seconds
    batches = batches_per_s(fleet.records_per_s, partitions) * seconds
    telemetry_bytes = batches * constants.batch_bytes + records * constants.record_bytes
    telemetry_bytes += samples * 6 * constants.value_bytes
    said = capacity(fleet, constants, shards=shards, partitions=partitions)
    yardstick_s = constants.yardstick_us / 1e6 * seconds
    second_bytes = constants.second_bytes if rate_hz > 1 else constants.lone_second_bytes
    return {
        "shards": shards,
        "partitions": partitions,
        "devices_known": devices,
        "devices": devices,
        "rate_hz": rate_hz,
        "frame_samples": frame_samples,
        "seconds": seconds,
        "samples": samples,
        "records": records,
        "windows": samples / 128,
        "device_seconds": fleet.device_seconds_per_s * seconds,
        "cpu_s": {
            **{role: cores * seconds for role, cores in said.cpu.items() if role != "other"},
            **dict.fromkeys(YARDSTICK, yardstick_s / len(YARDSTICK)),
            "query": said.cpu["other"] * seconds - yardstick_s,
        },
        "rss_mb": {role: gb * 1024 for role, gb in said.memory_gb.items()},
        "topic_bytes": {
            "telemetry": telemetry_bytes,
            "scores": samples / 128 * constants.score_bytes,
            "aggregates.second": fleet.device_seconds_per_s * seconds * second_bytes,
        },
    }


def test_constants_are_found_again() -> None:
    shapes = ((100, 20), (500, 20), (25, 1), (10, 5), (900, 100))
    loads = [load(d, f, CONSTANTS) for d, f in shapes]
    loads += [load(500, 20, CONSTANTS, partitions=16), load(500, 20, CONSTANTS, shards=1)]
    slow = load(5000, 1, CONSTANTS, rate_hz=1)
    idle = load(1, 20, CONSTANTS, shards=1)
    nothing = dict.fromkeys(ROLES, 1.0)
    old = replace(CONSTANTS, base_us=nothing, shard_us=nothing, batch_us=nothing, state_copies=1)
    new = fitted(old, {"fit": loads, "slow": [slow], "idle": [idle]})
    for role in ROLES:
        assert new.base_us[role] == pytest.approx(CONSTANTS.base_us[role], rel=0.1, abs=2000)
        assert new.shard_us[role] == pytest.approx(CONSTANTS.shard_us[role], rel=0.1, abs=2000)
        assert new.batch_us[role] == pytest.approx(CONSTANTS.batch_us[role], rel=0.1, abs=10)
        assert new.record_us[role] == pytest.approx(CONSTANTS.record_us[role], rel=0.1, abs=1)
        assert new.second_us[role] == pytest.approx(CONSTANTS.second_us[role], rel=0.1, abs=1)
        assert new.base_mb[role] == pytest.approx(CONSTANTS.base_mb[role], rel=0.1)
    assert new.state_copies == pytest.approx(CONSTANTS.state_copies, rel=0.1)
    assert new.batch_bytes == pytest.approx(CONSTANTS.batch_bytes, rel=0.1)
    assert new.score_bytes == pytest.approx(CONSTANTS.score_bytes, rel=0.01)
    assert new.lone_second_bytes == pytest.approx(CONSTANTS.lone_second_bytes, rel=0.01)
    held_out = [load(300, 10, CONSTANTS)]
    cores = next(each for each in foretell(new, held_out) if each.quantity == "busy cores")
    assert abs(cores.error) < 0.05


def test_more_partitions_make_smaller_batches() -> None:
    assert batches_per_s(10_000, 4) == pytest.approx(10_000 / 26)
    assert batches_per_s(10_000, 16) > 2 * batches_per_s(10_000, 4)
    assert batches_per_s(1, 16) == pytest.approx(1, rel=0.01), "each record is sent alone"
    few, many = (capacity(SMALL, CONSTANTS, shards=2, partitions=p).cpu for p in (4, 16))
    assert many["broker"] > few["broker"]


def test_a_wrong_model_is_noticed() -> None:
    point = load(300, 10, CONSTANTS)
    twice = {role: 2 * cpu_s for role, cpu_s in point["cpu_s"].items() if role not in YARDSTICK}
    point["cpu_s"] |= twice
    cores = next(each for each in foretell(CONSTANTS, [point]) if each.quantity == "busy cores")
    assert cores.error == pytest.approx(-0.5, abs=0.02)


def test_a_slow_hour_is_no_error_of_the_model() -> None:
    point = load(300, 10, CONSTANTS)
    point["cpu_s"] = {role: 2 * cpu_s for role, cpu_s in point["cpu_s"].items()}
    cores = next(each for each in foretell(CONSTANTS, [point]) if each.quantity == "busy cores")
    assert cores.error == pytest.approx(0, abs=0.02)


def test_what_was_held_out_is_foretold() -> None:
    report = json.loads(FILE.with_name("loads.json").read_text())
    found = foretell(CONSTANTS, report["held_out"])
    assert len(found) == 3 * len(HELD_OUT)
    off = {(each.load, each.quantity): each.error for each in found if abs(each.error) > ERROR_MAX}
    assert not off, "the committed constants do not say what was measured"


def test_nothing_costs_less_than_nothing() -> None:
    columns = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    assert non_negative(columns, np.array([3.0, 2.0, 1.0]))[1] == 0
    assert non_negative(columns, np.array([3.0, 5.0, 7.0])) == pytest.approx([1.0, 2.0])


def test_constants_are_written_as_they_are_read(tmp_path: Path) -> None:
    CONSTANTS.write(tmp_path / "constants.json")
    assert Constants.read(tmp_path / "constants.json") == CONSTANTS
    assert json.loads((tmp_path / "constants.json").read_text()) == asdict(CONSTANTS)
