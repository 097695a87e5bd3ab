"""Asking for the past to be computed anew: jobs, refusals by field, tethers in /health."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serve_apps.parts import Replica, Served

PATH = "/api/v1/reprocess"
HOUR: dict[str, Any] = {"from": "2025-06-01T10:00:00Z", "to": 1748775600000}


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served[0].url) as client:
        yield client


def test_each_device_gets_a_job_that_can_be_asked_for(
    client: httpx.Client, replica: Replica
) -> None:
    answer = client.post(PATH, json={"devices": ["pump-1", "pump-2"], **HOUR})
    assert (answer.status_code, answer.json()) == (202, {"jobs": [1, 2]})
    assert [mark.cause for mark in replica.jobs.marks] == ["person", "person"]
    job = client.get(f"{PATH}/2").json()
    assert (job["device_id"], job["state"], job["view_epoch"]) == ("pump-2", "marked", None)
    assert (job["from"], job["to"]) == (
        "2025-06-01T10:00:00.000000Z",
        "2025-06-01T11:00:00.000000Z",
    )


def test_jobs_come_in_pages_newest_first(client: httpx.Client) -> None:
    for _ in range(3):
        client.post(PATH, json={"devices": ["pump-1"], "cause": "profile", **HOUR})
    first = client.get(PATH, params={"limit": 2}).json()
    assert [job["job_id"] for job in first["jobs"]] == [3, 2]
    rest = client.get(PATH, params={"before": first["next"]}).json()
    assert [(job["job_id"], job["cause"]) for job in rest["jobs"]] == [(1, "profile")]
    assert client.get(PATH, params={"state": "failed"}).json()["jobs"] == []


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"devices": []}, 422, "devices"),
        ({"devices": ["pump-1", "pump-1"]}, 422, "devices"),
        ({"devices": ["../x"]}, 422, "devices"),
        ({"devices": ["nobody"]}, 404, "devices"),
        ({"from": "yesterday"}, 422, "from"),
        ({"from": "2025-06-01T11:00:00Z"}, 422, "to"),
        ({"from": "2024-06-01T11:00:00Z"}, 422, "from"),
        ({"to": "2125-06-01T11:00:00Z"}, 422, "to"),
        ({"cause": "late"}, 422, "cause"),
    ],
)
def test_a_refusal_names_the_field(
    client: httpx.Client, replica: Replica, changes: dict[str, Any], status: int, field: str
) -> None:
    answer = client.post(PATH, json={"devices": ["pump-1"], **HOUR, **changes})
    assert answer.status_code == status
    assert answer.json()["error"]["field"] == field
    assert not replica.jobs.marks


def test_a_job_of_another_tenant_is_not_known(client: httpx.Client) -> None:
    client.post(PATH, json={"devices": ["pump-1"], **HOUR})
    assert client.get(f"{PATH}/1", headers={"x-tenant": "acme"}).status_code == 404
    assert client.get(f"{PATH}/99").json()["error"]["field"] == "job_id"


def test_health_says_how_far_each_view_is_behind_the_log(client: httpx.Client) -> None:
    views = client.get("/health").json()["views"]
    assert views["live"].keys() == {"tether_s", "tether_records"}
    assert (views["next"]["tether_s"], views["next"]["tether_records"]) == (1.5, 20)
