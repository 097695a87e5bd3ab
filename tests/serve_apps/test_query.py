"""The REST API on rows in memory: shapes, pages, refusals, health."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import numpy as np
import pytest

from fleetpulse.errors import DatabaseUnavailable
from fleetpulse.live import DeviceView
from fleetpulse.reads import AlertRow, DeviceRow, RollupRow
from tests.serve_apps.parts import START_US, Replica, Served, shard_status


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    replica, _ = served
    for n in range(5):
        replica.reads.device_rows.append(
            DeviceRow("default", f"pump-{n}", "pump@1", START_US, alert_open=n == 3)
        )
        replica.reads.alert_rows.append(
            AlertRow(
                f"alert-{n}",
                "default",
                f"pump-{n}",
                START_US + n,
                None,
                START_US - 5,
                START_US,
                3.0,
                3.5,
                2.0,
                "zscore@1",
                "pump@1",
            )
        )
        replica.reads.rollup_rows.append(rollup(START_US + n * 60_000_000))
    with httpx.Client(base_url=replica.url) as client:
        yield client


def rollup(bucket_us: int) -> RollupRow:
    nan = float("nan")
    return RollupRow(
        bucket_us=bucket_us,
        profile="pump@1",
        channels=["vib_x", "temp"],
        revision=0,
        view_epoch=0,
        count=[12_000, 0],
        min=[-1.0, nan],
        max=[1.0, nan],
        mean=[0.0, nan],
        std=[0.7, nan],
        score_count=94,
        score_over=1,
        score_min=0.1,
        score_max=2.1,
        score_mean=0.4,
        score_std=0.2,
    )


def device_view() -> DeviceView:
    return DeviceView(
        tenant="default",
        device_id="pump-1",
        profile="pump@1",
        partition=1,
        channels=("vib_x", "temp"),
        last_us=START_US,
        last=(0.5, float("nan")),
        watermark_us=START_US,
        window=np.array([[0.5, np.nan]], np.float32),
        window_end_us=START_US + 5_000,
        score=1.5,
        score_end_us=START_US,
        threshold=2.0,
        alert_open=False,
        alert_id="",
        alert_raised_us=0,
    )


def test_devices_come_in_pages_and_can_be_searched(client: httpx.Client) -> None:
    first = client.get("/api/v1/devices", params={"limit": 2}).json()
    assert [d["device_id"] for d in first["devices"]] == ["pump-0", "pump-1"]
    rest = client.get("/api/v1/devices", params={"after": first["next"]}).json()
    assert [d["device_id"] for d in rest["devices"]] == ["pump-2", "pump-3", "pump-4"]
    assert rest["next"] is None
    found = client.get("/api/v1/devices", params={"search": "p-3"}).json()["devices"]
    assert [(d["device_id"], d["alert_open"]) for d in found] == [("pump-3", True)]


def test_other_tenants_see_other_devices(client: httpx.Client) -> None:
    answer = client.get("/api/v1/devices", headers={"x-tenant": "acme"}).json()
    assert answer["devices"] == []


def test_a_device_shows_what_its_actor_holds(client: httpx.Client, replica: Replica) -> None:
    assert client.get("/api/v1/devices/pump-1").json()["live"] is None
    replica.fleet.views[b"default/pump-1"] = device_view()
    answer = client.get("/api/v1/devices/pump-1").json()
    assert answer["device"]["profile"] == "pump@1"
    assert answer["live"]["last"] == {"vib_x": 0.5, "temp": None}
    assert answer["live"]["window"] == [[0.5], [None]]
    assert (answer["live"]["score"], answer["live"]["threshold"]) == (1.5, 2.0)


def test_metrics_name_their_channels(client: httpx.Client) -> None:
    asked = {"from": START_US / 1000, "to": START_US / 1000 + 200_000, "limit": 2}
    answer = client.get("/api/v1/devices/pump-1/metrics", params=asked).json()
    assert [bucket["at"] for bucket in answer["buckets"]] == [
        "2026-09-21T14:13:20.000000Z",
        "2026-09-21T14:14:20.000000Z",
    ]
    assert answer["next"] == "2026-09-21T14:15:20.000000Z"
    assert answer["buckets"][0]["channels"]["vib_x"]["max"] == 1.0
    assert answer["buckets"][0]["channels"]["temp"]["mean"] is None
    assert answer["buckets"][0]["score"]["over"] == 1


def test_alerts_are_paged_by_cursor_newest_first(client: httpx.Client) -> None:
    seen, cursor = [], None
    while True:
        page = client.get(
            "/api/v1/alerts", params={"limit": 2} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += [alert["alert_id"] for alert in page["alerts"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [f"alert-{n}" for n in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/api/v1/devices/pump-9", 404, "device_id"),
        ("/api/v1/devices/a%20b", 422, "device_id"),
        ("/api/v1/devices?limit=0", 422, "limit"),
        ("/api/v1/devices/pump-1/metrics?resolution=week", 422, "resolution"),
        ("/api/v1/devices/pump-1/metrics?from=yesterday", 422, "from"),
        ("/api/v1/alerts?cursor=%25", 422, "cursor"),
        ("/api/v1/alerts?to=2026-01-01T00:00:00", 422, "to"),
        ("/api/v1/nothing", 404, ""),
    ],
)
def test_refusals_have_one_shape(client: httpx.Client, path: str, status: int, field: str) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert response.json()["error"]["field"] == field, "another field is named"
    assert response.json()["error"]["reason"]


def test_health_is_ok_while_everything_works(client: httpx.Client) -> None:
    response = client.get("/health")
    assert response.status_code == 200
    report = response.json()
    assert report["status"] == "ok"
    assert [(p["partition"], p["lag"]) for p in report["partitions"]] == [(0, 7), (1, 7)]


def test_health_names_the_part_that_is_away(client: httpx.Client, replica: Replica) -> None:
    replica.reads.failure = DatabaseUnavailable("database: connection refused")
    response = client.get("/health")
    assert response.status_code == 503
    assert response.json()["parts"]["database"]["problem"] == "database: connection refused"


def test_health_shows_a_stopped_partition_with_its_remedy(
    client: httpx.Client, replica: Replica
) -> None:
    replica.fleet.statuses = [shard_status(state="stopped", remedy="delete its snapshot")]
    report = client.get("/health").json()
    assert report["status"] == "degraded"
    assert report["partitions"][0]["remedy"] == "delete its snapshot"


def test_health_shows_a_partition_that_nobody_owns(client: httpx.Client, replica: Replica) -> None:
    status = shard_status()
    replica.fleet.statuses = [replace(status, partitions=status.partitions[:1])]
    assert [p["state"] for p in client.get("/health").json()["partitions"]] == [
        "running",
        "unowned",
    ]
    replica.fleet.statuses = []
    assert client.get("/health").status_code == 503


def test_documentation_and_page_need_nothing_from_elsewhere(client: httpx.Client) -> None:
    for path in ("/", "/docs"):
        text = client.get(path).text
        assert "https://" not in text, f"{path} loads something from the internet"
    assert "default-src 'self'" in client.get("/").headers["content-security-policy"]
    for path in ("/uplot/uPlot.iife.js", "/page/main.js", "/static-offline-docs/swagger-ui.css"):
        assert client.get(path).status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/v1/alerts", "/health", "/telemetry"} <= paths.keys()
