"""A shard stopped in the middle of a transaction, which wakes up when others own its devices."""

import os
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import IsolationLevel
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from actors.supervisor import Shards
from adapters.kafka.client import connection_config
from benchmarks.score_watch import longest_silence_s
from fleetpulse.live import ShardStatus
from fleetpulse.settings import KafkaSettings, Settings
from tests.e2e.conftest import StartShards
from tests.e2e.load import Load, run

READERS_WAIT_MAX_S = 6.0
AWAIT_S = 30.0


@pytest.mark.timeout(180)
def test_a_zombie_writes_nothing_and_holds_nobody_up(
    settings: Settings, start_shards: StartShards, tmp_path: Path
) -> None:
    shards = start_shards(2)
    stopped_us = woken_us = 0

    def freeze() -> None:
        nonlocal stopped_us, woken_us
        time.sleep(8)
        zombie, other = sorted(shards.status(), key=lambda each: each.pid)
        stopped_us = _stop_within_transaction(settings.kafka, zombie)
        try:
            _await_partitions(shards, other.pid, settings.kafka.partitions)
            time.sleep(1)
        finally:
            woken_us = time.time_ns() // 1000
            os.kill(zombie.pid, signal.SIGCONT)
        _await_partitions(shards, zombie.pid, settings.kafka.partitions // 2)

    received = run(settings, tmp_path, Load(devices=100, seconds=24), freeze)

    silence_s = longest_silence_s(received, stopped_us - 1_000_000, woken_us)
    print(f"read_committed readers waited {silence_s:.1f} s")
    assert silence_s < READERS_WAIT_MAX_S


def _stop_within_transaction(kafka: KafkaSettings, shard: ShardStatus) -> int:
    """SIGSTOP it until readers see that a transaction is open; when, in epoch microseconds."""
    admin = AdminClient(connection_config(kafka, client_id="zombie-test"))
    partitions = [part.partition for part in shard.partitions]
    deadline_s = time.monotonic() + AWAIT_S
    while time.monotonic() < deadline_s:
        stopped_us = time.time_ns() // 1000
        os.kill(shard.pid, signal.SIGSTOP)
        if _transaction_is_open(admin, kafka, partitions):
            time.sleep(0.3)  # one that was being committed is closed by then
            if _transaction_is_open(admin, kafka, partitions):
                return stopped_us
        os.kill(shard.pid, signal.SIGCONT)
        time.sleep(0.013)  # not in step with the commits
    raise AssertionError("the shard was never in a transaction")


def _transaction_is_open(admin: AdminClient, kafka: KafkaSettings, partitions: list[int]) -> bool:
    """Rows are in the log which read_committed readers do not get."""
    newest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    places = [Place(kafka.topic("scores"), each) for each in partitions]
    ends = [
        {
            place.partition: answer.result(5).offset
            for place, answer in admin.list_offsets(
                dict.fromkeys(places, newest), isolation_level=level
            ).items()
        }
        for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
    ]
    return ends[0] != ends[1]


def _await_partitions(shards: Shards, pid: int, count: int) -> None:
    """Until this shard owns so many."""
    deadline_s = time.monotonic() + AWAIT_S
    while not any(each.pid == pid and len(each.partitions) == count for each in shards.status()):
        assert time.monotonic() < deadline_s, f"the shard does not own {count} partitions"
        time.sleep(0.1)
