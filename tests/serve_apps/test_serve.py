"""Ingest and query on real Serve, Kafka, PostgreSQL and shards, on one loopback port."""

import ipaddress
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition
from websockets.sync.client import connect

from adapters.kafka.admin import KafkaAdmin
from adapters.postgres.migrate import migrate
from devstack import fork_server
from devstack.free_ports import free_ports
from devstack.launch import environment_of
from fleetpulse.identity import TICK_KEY, partition_of
from fleetpulse.settings import (
    HttpSettings,
    KafkaSettings,
    PostgresSettings,
    Settings,
    ShardSettings,
)
from fleetpulse.telemetry_pb2 import Batch, SampleBlock
from fleetpulse.wire import encode_block
from serve_apps.environment import serve_environment

RATE_HZ = 200
FRAME = 20
PROTOBUF = {"content-type": "application/x-protobuf"}
pytestmark = pytest.mark.timeout(240)


@dataclass
class Running:
    """The driver and what it serves."""

    settings: Settings
    driver: "subprocess.Popen[str]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.http.port}"

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.driver.pid).children(recursive=True)


@pytest.fixture(scope="module")
def running(kafka: KafkaSettings, postgres: PostgresSettings) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="fp-") as folder:
        settings = Settings(
            data_folder=Path(folder),
            kafka=kafka,
            postgres=postgres,
            http=HttpSettings(port=free_ports(1)),
            shard=ShardSettings(count=1),
        )
        KafkaAdmin(kafka).create_topics()
        assert postgres.dsn is not None
        migrate(postgres.dsn.get_secret_value())
        environment = (
            os.environ
            | serve_environment(settings.http)
            | environment_of(settings)
            | fork_server.environment()
        )
        driver = subprocess.Popen(
            [sys.executable, "-m", "tests.serve_apps.serve_driver"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert driver.stdin is not None
        assert driver.stdout is not None
        try:
            said = ""
            while said != "ready\n":
                said = driver.stdout.readline()
                assert said, "the driver ended before it was ready"
            yield Running(settings, driver)
        finally:
            if driver.poll() is None:
                driver.stdin.close()
                driver.wait(60)
            driver.stdin.close()
            driver.stdout.close()


@pytest.fixture
def client(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=20) as client:
        yield client


def frame(device: str, number: int, start_us: int) -> bytes:
    rng = np.random.default_rng(number)
    return encode_block(
        rng.normal(size=(FRAME, 6)).astype(np.float32),
        t0_us=start_us + number * FRAME * 1_000_000 // RATE_HZ,
        period_ns=1_000_000_000 // RATE_HZ,
        sequence=number,
        device_id=device,
    )


def records(running: Running) -> list[tuple[int, bytes, bytes, dict[str, Any]]]:
    """Everything in the telemetry topic: partition, key, value, headers."""
    kafka = running.settings.kafka
    ends = KafkaAdmin(kafka).watermarks()
    consumer = Consumer({"bootstrap.servers": kafka.servers, "group.id": "test"})
    consumer.assign([TopicPartition(kafka.topic("telemetry"), p, 0) for p in ends])
    left = sum(end for _, end in ends.values())
    found = []
    try:
        while left > 0:
            message = consumer.poll(5)
            assert message is not None, "the topic has less than its offsets say"
            assert message.error() is None
            left -= 1
            found.append(
                (
                    message.partition() or 0,
                    message.key() or b"",
                    message.value() or b"",
                    dict(message.headers() or []),
                )
            )
    finally:
        consumer.close()
    return found


def test_what_is_accepted_is_in_the_log_as_it_was_sent(
    running: Running, client: httpx.Client
) -> None:
    now_us = time.time_ns() // 1000
    one = frame("log-1", 0, now_us - 100_000)
    assert client.post("/telemetry", content=one, headers=PROTOBUF).json() == {"accepted": 1}
    found = [each for each in records(running) if each[1] == b"default/log-1"]
    assert [value for _, _, value, _ in found] == [one]
    partition, key, _, headers = found[0]
    assert partition == partition_of(key, running.settings.kafka.partitions)
    assert headers["device-id"] == b"log-1"
    assert headers["schema-version"] == b"1"


def test_a_repeated_request_takes_the_short_way(running: Running, client: httpx.Client) -> None:
    body = frame("short-1", 0, time.time_ns() // 1000 - 100_000)
    long = client.post("/telemetry", content=body, headers=PROTOBUF)
    assert "x-request-id" in long.headers, "nothing tells the two ways apart any more"
    head = (
        f"POST /telemetry HTTP/1.1\r\nhost: localhost\r\ncontent-type: {PROTOBUF['content-type']}"
        f"\r\ncontent-length: {len(body)}\r\n\r\n"
    )

    def answer() -> bytes:
        # In one piece: a request whose head and body come apart takes the long way. So does one
        # that a HAProxy sends which has just been replaced, hence the connection of its own.
        with socket.create_connection(("127.0.0.1", running.settings.http.port), 20) as connection:
            connection.sendall(head.encode() + body)
            return connection.recv(65_536).lower()

    deadline = time.monotonic() + 10
    while b"x-request-id" in (short := answer()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert b"x-request-id" not in short, "Serve starts its server in another way now"
    assert short.startswith(b"http/1.1 202")
    assert short.endswith(b'{"accepted": 1}')
    traced = client.post("/telemetry", content=body, headers={**PROTOBUF, "x-request-id": "17"})
    assert traced.headers["x-request-id"] == "17"


def test_frames_become_scores_that_the_api_and_the_socket_show(
    running: Running, client: httpx.Client
) -> None:
    start_us = time.time_ns() // 1000 - 3_000_000
    with connect(running.url.replace("http", "ws") + "/ws") as page:
        page.send(json.dumps({"subscribe": "fleet", "search": "way-"}))
        frames = [SampleBlock.FromString(frame("way-1", n, start_us)) for n in range(30)]
        body = Batch(blocks=frames).SerializeToString()
        answer = client.post("/telemetry", content=body, headers=PROTOBUF)
        assert answer.json() == {"accepted": 30}
        rows: list[Any] = []
        deadline = time.monotonic() + 20
        while not rows and time.monotonic() < deadline:
            rows = json.loads(page.recv(10))["rows"]
    assert rows[0][0] == "way-1", "the fleet's picture does not show the device"
    detail = client.get("/api/v1/devices/way-1").json()
    assert detail["device"]["profile"] == "rotating-machine@1"
    assert len(detail["live"]["window"]) == 6
    assert detail["live"]["score"] > 0
    listed = client.get("/api/v1/devices", params={"search": "way"}).json()["devices"]
    assert [each["device_id"] for each in listed] == ["way-1"]


def test_health_is_ok(running: Running, client: httpx.Client) -> None:
    deadline = time.monotonic() + 20  # its first connections take a moment on a busy machine
    report = client.get("/health").json()
    while report["status"] != "ok" and time.monotonic() < deadline:
        report = client.get("/health").json()
    assert report["status"] == "ok", f"something does not work: {report['parts']}"
    assert len(report["partitions"]) == running.settings.kafka.partitions


def test_prometheus_finds_metrics_at_the_same_port(client: httpx.Client) -> None:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert 'fleetpulse_tether_seconds{view="live"}' in answer.text


def test_the_ingest_knows_the_published_profiles(client: httpx.Client) -> None:
    now_ms = time.time_ns() // 1_000_000
    sample = {"device_id": "pump-1", "ts": now_ms, "metrics": {"vib_q": 1.0}}
    deadline = time.monotonic() + 10
    answer = client.post("/telemetry", json=sample)
    while answer.status_code != 422 and time.monotonic() < deadline:
        answer = client.post("/telemetry", json=sample)
    assert answer.json()["error"] == {
        "field": "metrics.vib_q",
        "reason": "is no channel of profile rotating-machine@1",
    }


def test_a_body_of_100_mb_disturbs_nobody(running: Running, client: httpx.Client) -> None:
    ingest = [p for p in running.processes() if "ServeReplica:ingest" in " ".join(p.cmdline())]
    assert len(ingest) == 1
    before_mb = ingest[0].memory_info().rss / 2**20

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(2**20)

    declared = {"content-type": "application/json", "content-length": str(100 * 2**20)}
    undeclared = {"content-type": "application/json"}
    for headers in (declared, undeclared):
        answer = client.post("/telemetry", content=chunks(), headers=headers)
        assert answer.status_code == 413
        assert answer.json()["error"]["field"] == "body"
    now_ms = time.time_ns() // 1_000_000
    metrics = {"vib_x": 1.0, "temperature_c": 50.0}
    ok = client.post("/telemetry", json={"device_id": "a", "ts": now_ms, "metrics": metrics})
    assert ok.status_code == 202
    grown_mb = ingest[0].memory_info().rss / 2**20 - before_mb
    assert grown_mb < 60, f"the refused bodies took {grown_mb:.0f} MB of memory"


def test_log_time_ticks_in_every_partition(running: Running) -> None:
    ticked = {partition for partition, key, _, _ in records(running) if key == TICK_KEY}
    assert ticked == set(range(running.settings.kafka.partitions))


def health_of(client: httpx.Client, good: Callable[[Any], bool]) -> Any:
    """The first report that is as it should be."""
    deadline = time.monotonic() + 20
    report = client.get("/health").json()
    while not good(report) and time.monotonic() < deadline:
        report = client.get("/health").json()
    assert good(report), report
    return report


def test_a_device_is_paused_resumed_and_deleted(client: httpx.Client) -> None:
    start_us = time.time_ns() // 1000 - 10_000_000

    def send(*numbers: int) -> None:
        frames = [SampleBlock.FromString(frame("op-1", n, start_us)) for n in numbers]
        body = Batch(blocks=frames).SerializeToString()
        assert client.post("/telemetry", content=body, headers=PROTOBUF).status_code == 202

    def newest(after: str) -> str:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            live = (client.get("/api/v1/devices/op-1").json() or {}).get("live")
            if live and live["last_at"] > after:
                return str(live["last_at"])
        pytest.fail("the device does not go on")

    send(*range(20))
    begun = newest("")
    paused = client.post("/api/v1/devices/op-1/pause")
    assert paused.status_code == 202
    assert paused.json()["control"].startswith("pause:default/op-1")
    send(*range(20, 40))
    health_of(client, lambda report: sum(s["paused_total"] for s in report["shards"]) == 20)
    assert client.get("/api/v1/devices/op-1").json()["live"]["last_at"] == begun
    assert client.post("/api/v1/devices/op-1/resume").status_code == 202
    send(*range(40, 60))
    assert newest(begun) > begun
    assert client.delete("/api/v1/devices/op-1").status_code == 202
    deadline = time.monotonic() + 20
    while client.get("/api/v1/devices/op-1").status_code != 404:
        assert time.monotonic() < deadline, "its rows stay"
    send(*range(60, 80))
    assert newest(begun) > begun, "it does not begin anew"


def test_a_paused_partition_waits_and_is_named(running: Running, client: httpx.Client) -> None:
    number = partition_of(b"default/op-2", running.settings.kafka.partitions)

    def mine(report: Any) -> Any:
        return report["partitions"][number]

    assert client.post(f"/api/v1/partitions/{number}/pause?by=ada").status_code == 202
    report = health_of(client, lambda report: mine(report)["state"] == "paused")
    assert report["status"] == "degraded"
    assert "ada" in mine(report)["remedy"]
    one = frame("op-2", 0, time.time_ns() // 1000)
    assert client.post("/telemetry", content=one, headers=PROTOBUF).status_code == 202
    report = health_of(client, lambda report: mine(report)["lag"] > 0)
    assert report["behind_s"] > 0
    assert client.post(f"/api/v1/partitions/{number}/resume").status_code == 202
    health_of(client, lambda report: mine(report)["state"] == "running")
    health_of(client, lambda report: mine(report)["behind_s"] < 5)


def test_a_flood_is_put_off_and_named(client: httpx.Client) -> None:
    """300 s of data at once are the profile's burst, half of it the ingest's: 1,500 frames."""
    start_us = time.time_ns() // 1000
    block = SampleBlock.FromString(frame("flood-1", 0, start_us))
    calm = SampleBlock.FromString(frame("calm-1", 0, start_us))
    body = Batch(blocks=[block] * 1600 + [calm]).SerializeToString()
    answer = client.post("/telemetry", content=body, headers=PROTOBUF)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert 1600 not in answer.json()["refused"], "a neighbour pays for it"
    report = health_of(client, lambda report: bool(report["causes"]))
    named = {(cause["device"], cause["cause"]) for cause in report["causes"]}
    assert ("default/flood-1", "over_rate") in named


def test_nothing_listens_beyond_loopback(running: Running) -> None:
    listening = [
        (process.name(), connection.laddr)
        for process in running.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert any(address.port == running.settings.http.port for _, address in listening)
    exposed = [
        each
        for each in listening
        if not ipaddress.ip_address(each[1].ip.removeprefix("::ffff:")).is_loopback
    ]
    assert exposed == [], "these can be reached from other machines"


def test_the_end_is_quick_and_leaves_no_process(running: Running) -> None:
    processes = running.processes()
    assert running.driver.stdin is not None
    assert running.driver.stdout is not None
    running.driver.stdin.close()
    # Among these lines asyncio may complain about a task of Serve's router.
    said = dict(line.split()[:2] for line in running.driver.stdout if len(line.split()) > 1)
    running.driver.wait(60)
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == [], "these outlived Serve and Ray"
    assert said["drained"] == "True", "requests were under way although none was sent"
    assert float(said["stopped"]) < 15, "Serve took too long to end"
