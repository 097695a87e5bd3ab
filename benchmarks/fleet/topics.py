"""The topics of a run: made anew, filled with a fleet's frames, read back."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from confluent_kafka import KafkaException, Message, Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewTopic
from numpy.typing import NDArray

from adapters.kafka.client import producer_config
from benchmarks.fleet.job import PARTITIONS, SCORE, SECOND, Job
from benchmarks.fleet.reference import Outputs, Rows
from benchmarks.fleet.series import Series
from benchmarks.topics import read_to_end
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Rollup, Score

_ANSWER_S: Final = 30.0
_QUEUE_RECORDS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Written:
    """A contender's outputs, and when the first and last of them were appended to the log."""

    outputs: Outputs
    first_s: float
    last_s: float


def create(kafka: KafkaSettings, names: Sequence[str]) -> None:
    """Topics with times of append, as our own have."""
    config = {"message.timestamp.type": "LogAppendTime"}
    wanted = [NewTopic(kafka.topic(name), PARTITIONS, 1, config=config) for name in names]
    admin = AdminClient({"bootstrap.servers": kafka.servers})
    for future in admin.create_topics(wanted).values():
        future.result(_ANSWER_S)


def producer(kafka: KafkaSettings, *, linger_ms: float = 5) -> Producer:
    """As devices' records reach the log: Java's partitioner, lz4, large batches."""
    return Producer(
        {
            **producer_config(kafka, client_id="fleet"),
            "linger.ms": linger_ms,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 2 * _QUEUE_RECORDS,
        }
    )


def fill(kafka: KafkaSettings, topic: str, series: Series, frames: int) -> None:
    """So many frames of every device, as fast as the broker takes them."""
    keys = series.job.device_keys()
    client = producer(kafka)
    name = kafka.topic(topic)
    for sent in series.rounds(frames):
        client.produce_batch(
            name,
            [
                {"key": keys[device], "value": value}
                for device, value in zip(sent.device.tolist(), sent.values, strict=True)
            ],
        )
        client.poll(0)
        while len(client) > _QUEUE_RECORDS:
            client.poll(0.05)
    if client.flush(_ANSWER_S):
        raise BrokerUnavailable(f"kafka: topic {name} could not be filled")


class Counts:
    """How many records topics hold. Not for transactional ones, which hold markers too."""

    def __init__(self, kafka: KafkaSettings, names: Sequence[str]) -> None:
        self._admin = AdminClient({"bootstrap.servers": kafka.servers})
        self._places = [
            Place(kafka.topic(name), partition) for name in names for partition in range(PARTITIONS)
        ]

    def total(self) -> int:
        """Over all of them; -1 while a leader is looked for."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets(dict.fromkeys(self._places, latest))
        try:
            return sum(future.result(_ANSWER_S).offset for future in asked.values())
        except KafkaException:
            return -1


def read_outputs(kafka: KafkaSettings, job: Job, seconds: str, scores: str) -> Written:
    """What a contender wrote to its own topics."""
    numbers = {key: number for number, key in enumerate(job.device_keys())}
    times_ms: list[int] = []

    def read(topic: str, layout: np.dtype[Any]) -> Rows:
        keys: list[int] = []
        values: list[bytes] = []

        def take(message: Message) -> None:
            keys.append(numbers.get(message.key() or b"", -1))
            values.append(message.value() or b"")
            times_ms.append(message.timestamp()[1])

        read_to_end(kafka, topic, take)
        return Rows(np.array(keys, np.int64), np.frombuffer(b"".join(values), layout))

    found = Outputs(read(seconds, SECOND), read(scores, SCORE))
    return _written(found, times_ms)


def read_results(kafka: KafkaSettings, job: Job) -> Written:
    """What our engine wrote and committed, of what other contenders write too."""
    numbers = {key: number for number, key in enumerate(job.device_keys())}
    times_ms: list[int] = []
    keys: tuple[list[int], list[int]] = ([], [])
    seconds: list[Rollup] = []
    scores: list[Score] = []

    def take_second(message: Message) -> None:
        keys[0].append(numbers.get(message.key() or b"", -1))
        seconds.append(Rollup.FromString(message.value() or b""))
        times_ms.append(message.timestamp()[1])

    def take_score(message: Message) -> None:
        keys[1].append(numbers.get(message.key() or b"", -1))
        scores.append(Score.FromString(message.value() or b""))
        times_ms.append(message.timestamp()[1])

    read_to_end(kafka, "aggregates.second", take_second)
    read_to_end(kafka, "scores", take_score)
    scored = np.array([(each.window_start_us, each.score) for each in scores], SCORE)
    found = Outputs(
        Rows(np.array(keys[0], np.int64), _second_rows(seconds)),
        Rows(np.array(keys[1], np.int64), scored),
    )
    return _written(found, times_ms)


def _second_rows(seconds: list[Rollup]) -> NDArray[Any]:
    rows = np.zeros(len(seconds), SECOND)
    rows["start_us"] = [each.bucket_us for each in seconds]
    for field in ("min", "max", "mean", "std"):
        joined = b"".join([getattr(each, field) for each in seconds])
        rows[field] = np.frombuffer(joined, "<f8").reshape(len(seconds), -1)
    count = np.frombuffer(b"".join([each.count for each in seconds]), "<i4")
    rows["count"] = count.reshape(len(seconds), -1).min(axis=1, initial=np.iinfo(np.int32).max)
    return rows


def _written(outputs: Outputs, times_ms: list[int]) -> Written:
    now_ms = time.time() * 1000
    return Written(
        outputs, min(times_ms, default=now_ms) / 1000, max(times_ms, default=now_ms) / 1000
    )
