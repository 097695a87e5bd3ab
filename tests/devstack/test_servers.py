"""The servers of the local stack: what they store survives, and stopping ends them."""

import os
import signal
import stat
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.recovery_time import recovery_time
from devstack.free_ports import free_ports
from devstack.kafka_cluster import KafkaCluster
from devstack.kafka_server import KafkaServer
from devstack.postgres_server import PostgresServer
from fleetpulse.errors import ConfigError
from fleetpulse.settings import KafkaSettings, PostgresSettings


def test_database_carries_on_from_its_stored_data(tmp_path: Path) -> None:
    server = PostgresServer(PostgresSettings(port=free_ports(1)), tmp_path / "pg")
    for run in range(2):
        server.start()
        pid = server.pid
        assert pid is not None
        try:
            with psycopg.connect(server.dsn.get_secret_value()) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS kept (run int)")
                connection.execute("INSERT INTO kept VALUES (%s)", [run])
                rows = connection.execute("SELECT count(*) FROM kept").fetchone()
        finally:
            server.stop()
        assert rows == (run + 1,), "rows of an earlier run are still there"
        assert not psutil.pid_exists(pid), "a stopped database leaves no process"


def test_database_password_is_required_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    port = free_ports(1)
    server = PostgresServer(PostgresSettings(port=port), tmp_path / "pg")
    server.start()
    try:
        mode = stat.S_IMODE((tmp_path / "pg" / "password").stat().st_mode)
        assert mode == 0o600, "nobody else may read the password"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"host=127.0.0.1 port={port} user=fleetpulse password=guess")
    finally:
        server.stop()


def test_broker_carries_on_from_its_stored_log(tmp_path: Path) -> None:
    settings = KafkaSettings(port=free_ports(2))
    server = KafkaServer(settings, tmp_path / "kafka")
    server.start()
    try:
        admin = AdminClient({"bootstrap.servers": settings.servers})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(10)
        producer = Producer({"bootstrap.servers": settings.servers, "acks": "all"})
        producer.produce("kept", b"before the restart")
        assert producer.flush(10) == 0, "the broker acknowledged the record"
    finally:
        server.stop()
    server.start()
    try:
        consumer = Consumer({"bootstrap.servers": settings.servers, "group.id": "reader"})
        consumer.assign([TopicPartition("kept", 0, 0)])
        message = consumer.poll(10)
        consumer.close()
        assert message is not None, "the log kept its record"
        assert message.value() == b"before the restart"
    finally:
        server.stop()
    assert server.pid is None, "a stopped broker leaves no process"


def test_three_brokers_lose_one_and_nothing_else(tmp_path: Path) -> None:
    settings = KafkaSettings(port=free_ports(6), brokers=3, heap_mb=192)
    cluster = KafkaCluster(settings, tmp_path / "kafka")
    try:
        cluster.start()
        topics = KafkaAdmin(settings)
        topics.create_topics()
        producer = Producer({"bootstrap.servers": settings.servers, "acks": "all"})
        for partition in range(settings.partitions):
            producer.produce(settings.topic("scores"), b"before", partition=partition)
        assert producer.flush(10) == 0
        victim = cluster.servers[1].pid
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        for partition in range(settings.partitions):
            producer.produce(settings.topic("scores"), b"after", partition=partition)
        assert producer.flush(15) == 0, "two brokers acknowledge for three"
        assert topics.watermarks().keys() == set(range(settings.partitions))
        happened = cluster.tend()
        assert happened is not None
        assert "broker 2" in happened
        assert cluster.tend() is None, "it is started again once"
        assert recovery_time(settings).takeover_s == 3.5, "every broker has our settings"
    finally:
        cluster.stop()


def test_another_number_of_brokers_does_not_start_on_a_log(tmp_path: Path) -> None:
    (tmp_path / "kafka" / "log").mkdir(parents=True)
    with pytest.raises(ConfigError, match="BROKERS"):
        KafkaCluster(KafkaSettings(brokers=3), tmp_path / "kafka")
