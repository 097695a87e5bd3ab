"""`GET /metrics`: valid for Prometheus, and no other numbers than those of `/health`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fleetpulse.errors import DatabaseUnavailable
from fleetpulse.live import PartitionStatus, ShardStatus
from tests.serve_apps.parts import Replica, Served, shard_status

Samples = dict[tuple[str, str], float]
"""By name, without `fleetpulse_`, and the value of its label."""


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served[0].url) as client:
        yield client


def scrape(client: httpx.Client) -> Samples:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name.removeprefix("fleetpulse_"), "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def fleet() -> list[ShardStatus]:
    """A shard at work, one with a partition that stands still, and one without any."""
    parts = [
        PartitionStatus(
            0, 100, 7, 0, 90, "running", behind_s=1.5, restore_s=0.25, replay_s=0.75,
            snapshot_age_s=12.5,
        ),
        PartitionStatus(1, 50, 3, 0, 40, "paused", behind_s=42.5, restore_s=0.5),
    ]  # fmt: skip
    return [
        replace(shard_status(1000), shard="a", partitions=(parts[0],), devices=9, passive=4),
        replace(shard_status(500), shard="b", partitions=(parts[1],), dead_total=3, late_total=2),
        replace(shard_status(0), shard="c", partitions=(), device_bytes=4096, records_total=17),
    ]


def test_values_are_those_of_health(client: httpx.Client, replica: Replica) -> None:
    replica.fleet.statuses = fleet()
    found, health = scrape(client), client.get("/health").json()
    for name, view in health["views"].items():
        assert found["tether_seconds", name] == view["tether_s"]
        assert found["tether_records", name] == view["tether_records"]
    assert found["tether_seconds", "live"] == 42.5
    assert found["tether_seconds", "next"] == 1.5
    for part in health["partitions"]:
        of_part = {name: found[f"partition_{name}", str(part["partition"])] for name in PARTITION}
        assert of_part == {name: part[field] for name, field in PARTITION.items()}
    for shard in health["shards"]:
        of_shard = {name: found[name, shard["shard"]] for name in SHARD}
        assert of_shard == pytest.approx({n: shard[f] * unit for n, (f, unit) in SHARD.items()})
    assert found["snapshot_replay_budget_seconds", ""] == health["replay_budget_s"] == 2.0
    assert found["status", health["status"]] == 1
    for state in ("marked", "computing", "following", "failed"):
        assert found["recompute_jobs", state] == health["views"]["next"][state]


PARTITION = {
    "lag_records": "lag",
    "behind_seconds": "behind_s",
    "replay_seconds": "replay_s",
    "snapshot_age_seconds": "snapshot_age_s",
    "restore_seconds": "restore_s",
}
SHARD = {
    "shard_busy_ratio": ("busy_fraction", 1),
    "shard_step_seconds": ("step_ms", 1e-3),
    "shard_commit_seconds": ("commit_ms", 1e-3),
    "shard_device_state_bytes": ("device_bytes", 1),
    "records_fetched_total": ("records_total", 1),
    "samples_processed_total": ("samples_total", 1),
    "windows_scored_total": ("windows_total", 1),
    "alerts_raised_total": ("alerts_total", 1),
    "records_dead_total": ("dead_total", 1),
    "records_late_total": ("late_total", 1),
    "records_paused_total": ("paused_total", 1),
}


def test_devices_shards_and_partitions_are_counted_by_state(
    client: httpx.Client, replica: Replica
) -> None:
    replica.fleet.statuses = fleet()
    found = scrape(client)
    assert [found["shards", state] for state in ("working", "limited", "idle")] == [1, 1, 1]
    states = ("running", "paused", "stopped", "unowned")
    assert [found["partitions", state] for state in states] == [1, 1, 0, 0]
    devices = sum(status.devices for status in fleet())
    assert [found["devices", state] for state in ("active", "passive")] == [devices - 4, 4]


def test_a_partition_that_nobody_reads_tells_no_lag(client: httpx.Client, replica: Replica) -> None:
    replica.fleet.statuses = fleet()[:1]
    found = scrape(client)
    assert found["partition_lag_records", "0"] == 7
    assert ("partition_lag_records", "1") not in found
    assert found["partitions", "unowned"] == 1


def test_what_does_not_work_is_in_the_answer_not_in_its_status(
    client: httpx.Client, replica: Replica
) -> None:
    assert scrape(client)["part_up", "database"] == 1
    replica.reads.failure = DatabaseUnavailable("database: connection refused")
    found = scrape(client)
    assert (found["part_up", "database"], found["part_up", "shards"]) == (0, 1)
    assert (found["status", "unhealthy"], found["status", "ok"]) == (1, 0)


def test_each_metric_says_what_it_is_and_in_which_unit(client: httpx.Client) -> None:
    families: list[Any] = list(text_string_to_metric_families(client.get("/metrics").text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)) > 20
    for family in families:
        assert family.name.startswith("fleetpulse_")
        assert len(family.documentation) > 10
        for unit in ("seconds", "bytes"):
            if family.name.endswith(unit):
                assert f"in {unit}" in family.documentation, family.name
    assert "/metrics" in client.get("/openapi.json").json()["paths"]
