"""The REST API on rows in memory: shapes, pages, refusals, health."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import numpy as np
import pytest

from fleetpulse.errors import DatabaseUnavailable
from fleetpulse.live import Cause, DeviceView, PartitionStatus
from fleetpulse.reads import AlertRow, RollupRow, TopRow
from serve_apps.query.causes import hot_partitions
from tests.serve_apps.parts import (
    START_US,
    Replica,
    Served,
    device_row,
    session_row,
    shard_status,
)


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    replica, _ = served
    for n in range(5):
        replica.reads.device_rows.append(device_row(f"pump-{n}", alert_open=n == 3, online=n != 2))
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
        replica.reads.session_rows.append(session_row(n, ended=n < 4))
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


def test_a_device_says_since_when_it_is_silent(client: httpx.Client) -> None:
    online, offline = (client.get(f"/api/v1/devices/pump-{n}").json()["device"] for n in (1, 2))
    assert (online["online"], online["last_heard"]) == (True, None)
    assert (offline["online"], offline["since"]) == (False, "2026-09-21T14:13:20.000007Z")
    assert offline["last_heard"] == "2026-09-21T14:13:19.999991Z"


@pytest.mark.parametrize("root", ["/api/v1", ""])
def test_sessions_are_paged_by_cursor_newest_first(client: httpx.Client, root: str) -> None:
    first = client.get(f"{root}/sessions", params={"limit": 3}).json()
    rest = client.get(f"{root}/sessions", params={"cursor": first["next"]}).json()
    ids = [each["session_id"] for each in first["sessions"] + rest["sessions"]]
    assert ids == [f"{n:032x}" for n in (4, 3, 2, 1, 0)]
    assert rest["next"] is None


def test_sessions_are_chosen_by_device_and_whether_they_run(client: httpx.Client) -> None:
    running = client.get("/api/v1/sessions", params={"open": True}).json()["sessions"]
    assert [each["session_id"] for each in running] == [f"{4:032x}"]
    assert (running[0]["ended_at"], running[0]["channels"], running[0]["score"]) == (None,) * 3
    of_one = client.get("/api/v1/sessions", params={"device_id": "pump-1"}).json()["sessions"]
    assert {each["device_id"] for each in of_one} == {"pump-1"}


@pytest.mark.parametrize("root", ["/api/v1", ""])
def test_a_session_tells_what_was_measured(client: httpx.Client, root: str) -> None:
    session = client.get(f"{root}/sessions/{1:032x}").json()
    assert session["started_at"] == "2026-09-21T14:14:20.000000Z"
    assert session["ended_at"] == "2026-09-21T14:14:29.000000Z"
    assert session["channels"]["vib_x"] == {
        "count": 400, "min": -1.0, "max": 1.0, "mean": 0.0, "std": 0.5,
    }  # fmt: skip
    assert session["channels"]["temp"]["mean"] is None
    assert (session["score"]["over"], session["score"]["max"]) == (1, 2.5)


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


def test_the_highest_scores_of_each_hour_are_ranked(client: httpx.Client, replica: Replica) -> None:
    hour_us = START_US // 3_600_000_000 * 3_600_000_000
    replica.reads.top_rows += [
        TopRow(hour_us + at * 3_600_000_000, f"pump-{n}", "pump@1", 9, 9 - n, 1.0 + n, 0.5)
        for at in range(3)
        for n in range(4)
    ]
    asked = {"from": str(hour_us // 1000), "to": str(hour_us // 1000 + 7_200_000), "limit": "2"}
    answer = client.get("/api/v1/top", params=asked).json()
    assert [bucket["at"] for bucket in answer["buckets"]] == [
        "2026-09-21T14:00:00.000000Z",
        "2026-09-21T15:00:00.000000Z",
    ], "the hour that begins at `to` is not asked for"
    assert [each["device_id"] for each in answer["buckets"][0]["devices"]] == ["pump-3", "pump-2"]
    by_over = client.get("/api/v1/top", params=asked | {"by": "over"}).json()
    assert by_over["buckets"][1]["devices"][0] == {
        "device_id": "pump-0", "profile": "pump@1", "count": 9, "over": 9, "max": 1.0, "mean": 0.5,
    }  # fmt: skip
    replica.reads.top_rows.clear()
    assert client.get("/api/v1/top").json()["buckets"] == []


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


def test_an_alert_that_was_committed_late_is_stale(client: httpx.Client, replica: Replica) -> None:
    rows = replica.reads.alert_rows
    for n, late_s in ((0, 299), (1, 301)):
        rows[n] = replace(rows[n], committed_at_us=rows[n].raised_at_us + late_s * 1_000_000)
    alerts = {a["alert_id"]: a for a in client.get("/api/v1/alerts").json()["alerts"]}
    assert [alerts[f"alert-{n}"]["stale"] for n in range(3)] == [False, True, False]
    assert alerts["alert-0"]["committed_at"] == "2026-09-21T14:18:19.000000Z"
    assert alerts["alert-2"]["committed_at"] is None, "of a row that was there before"


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/api/v1/devices/pump-9", 404, "device_id"),
        ("/api/v1/devices/a%20b", 422, "device_id"),
        ("/api/v1/devices?limit=0", 422, "limit"),
        ("/api/v1/devices/pump-1/metrics?resolution=week", 422, "resolution"),
        ("/api/v1/devices/pump-1/metrics?from=yesterday", 422, "from"),
        ("/api/v1/top?resolution=minute", 422, "resolution"),
        ("/api/v1/top?from=2020-01-01T00:00:00Z", 422, "from"),
        ("/api/v1/top?limit=101", 422, "limit"),
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


def test_health_names_the_devices_whose_records_are_refused(
    client: httpx.Client, replica: Replica
) -> None:
    causes = (
        Cause("not_finite", 7, START_US, device="default/pump-1"),
        Cause("future", 1, START_US, device="default/pump-2100"),
        Cause("late", 5, START_US, device="default/pump-3"),
        Cause("over_rate", 9000, START_US, device="default/pump-4"),
    )
    replica.fleet.statuses = [replace(shard_status(), causes=causes)]
    response = client.get("/health")
    assert response.status_code == 200, "the system works"
    report = response.json()
    assert report["status"] == "degraded", "not for all data"
    assert [(c["device"], c["cause"], c["count"]) for c in report["causes"]] == [
        ("default/pump-4", "over_rate", 9000),
        ("default/pump-1", "not_finite", 7),
        ("default/pump-2100", "future", 1),
    ], "a few late records are the network's way"


@pytest.mark.parametrize(
    ("busy", "behind_s", "hot"),
    [
        ([0.05, 0.05, 0.9, 0.06], [0, 0, 0, 0], [2]),
        ([0.2, 0.2, 0.21, 0.2], [0, 0, 40, 0.5], [2]),
        ([0.5, 0.5, 0.5, 0.5], [60, 60, 61, 60], []),
        ([0.01, 0.0, 0.08, 0.0], [0, 0, 1, 0], []),
    ],
    ids=["busy", "behind", "all alike", "nothing to speak of"],
)
def test_a_partition_far_above_the_others_is_named(
    busy: list[float], behind_s: list[float], hot: list[int]
) -> None:
    parts = [
        PartitionStatus(n, 9, 3, 0, 0, "running", behind_s=late_s, busy_fraction=share)
        for n, (share, late_s) in enumerate(zip(busy, behind_s, strict=True))
    ]
    assert [each.partition for each in hot_partitions(parts, START_US)] == hot


def test_devices_are_paused_resumed_and_deleted_by_controls(
    client: httpx.Client, replica: Replica
) -> None:
    answers = [
        client.post("/api/v1/devices/pump-1/pause"),
        client.post("/api/v1/devices/pump-1/resume", headers={"x-tenant": "acme"}),
        client.delete("/api/v1/devices/pump-1"),
    ]
    assert [answer.status_code for answer in answers] == [202] * 3
    told = [answer.json()["control"] for answer in answers]
    assert told == ["pause default/pump-1", "resume acme/pump-1", "forget default/pump-1"]
    assert replica.controls.devices.written == told


def test_partitions_are_paused_by_a_person(client: httpx.Client, replica: Replica) -> None:
    assert client.post("/api/v1/partitions/1/pause?by=ada").json() == {
        "partition": 1,
        "paused": True,
    }
    assert replica.controls.partitions.paused == {1: "ada"}
    client.post("/api/v1/partitions/1/resume")
    assert replica.controls.partitions.paused == {}


@pytest.mark.parametrize(
    ("method", "path", "status", "field"),
    [
        ("DELETE", "/api/v1/devices/nobody", 404, "device_id"),
        ("DELETE", "/api/v1/devices/a%20b", 422, "device_id"),
        ("POST", "/api/v1/devices/a%20b/pause", 422, "device_id"),
        ("POST", "/api/v1/partitions/2/pause", 404, "partition"),
        ("POST", "/api/v1/partitions/x/resume", 422, "partition"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(
    client: httpx.Client, replica: Replica, method: str, path: str, status: int, field: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["field"] == field
    assert not replica.controls.devices.written
    assert not replica.controls.partitions.paused


def test_another_sites_page_may_not_change_anything(client: httpx.Client, replica: Replica) -> None:
    headers = {"origin": "http://elsewhere.example"}
    assert client.delete("/api/v1/devices/pump-1", headers=headers).status_code == 403
    own = {"origin": replica.url}
    assert client.post("/api/v1/devices/pump-1/pause", headers=own).status_code == 202
    assert replica.controls.devices.written == ["pause default/pump-1"]
