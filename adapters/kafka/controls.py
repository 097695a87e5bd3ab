"""Control records: written to every telemetry partition, and once to `controls`.

The topic `controls` is a copy for those that must not read all telemetry: the ingest, and whoever
publishes. Shards never read it.
"""

import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from adapters.kafka.client import REQUEST_TIMEOUT_S, consumer_config, meaning_of
from adapters.kafka.durable import DurableRecord, DurableWriter
from fleetpulse.control import LASTING
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.identity import CONTROL_KEY
from fleetpulse.profile import Profile
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Assignment, Control

PUBLISH_TIMEOUT_S: Final = 30.0


class ControlReader:
    """Reads `controls` from its beginning, and later what was added. Used from one thread."""

    def __init__(self, settings: KafkaSettings, *, client_id: str) -> None:
        self._topic = settings.topic("controls")
        self._next = 0
        config = consumer_config(settings, client_id=client_id, group=client_id)
        self._consumer = Consumer(config)
        self._consumer.assign([TopicPartition(self._topic, 0, 0)])

    def read(self) -> list[bytes]:
        """Values of Control records that were not returned before."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        values: list[bytes] = []
        try:
            _, end = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, 0), timeout=REQUEST_TIMEOUT_S
            )
            while self._next < end:
                if time.monotonic() > deadline:
                    raise BrokerUnavailable("kafka: reading controls takes too long")
                message = self._consumer.poll(0.1)
                if message is None:
                    continue
                if error := message.error():
                    raise meaning_of(error, "read controls")
                self._next = (message.offset() or 0) + 1
                values.append(message.value() or b"")
        except KafkaException as error:
            raise meaning_of(error, "read controls") from error
        return values

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


def publish(
    settings: KafkaSettings, profiles: Iterable[Profile], assignments: Iterable[Assignment]
) -> list[str]:
    """Make profiles known and assign them, in this order; returns the ids that are new.

    Publishing the same again is harmless. What was published before and lasts is repeated too: a
    shard without a snapshot needs it although retention took it from telemetry.
    """
    known = known_controls(settings)
    added = _added(known, profiles, assignments)
    lasting = [each for each in known if each.WhichOneof("change") in LASTING]
    write_controls(settings, added, repeated=lasting)
    return [each.id for each in added]


def known_controls(settings: KafkaSettings) -> list[Control]:
    """All that were published, in their order."""
    reader = ControlReader(settings, client_id="controls")
    try:
        return [Control.FromString(value) for value in reader.read()]
    finally:
        reader.close()


def write_controls(
    settings: KafkaSettings, added: Sequence[Control], *, repeated: Sequence[Control] = ()
) -> None:
    """Into every partition: what is repeated, then what is new, which is copied to `controls`."""
    writer = DurableWriter(settings, client_id="controls")
    topic = settings.topic("telemetry")
    for control in (*repeated, *added):
        value = control.SerializeToString()
        writer.write(
            [DurableRecord(topic, CONTROL_KEY, value, p) for p in range(settings.partitions)],
            timeout_s=PUBLISH_TIMEOUT_S,
        )
    # Last: a control in the copy is in every partition.
    copies = [
        DurableRecord(settings.topic("controls"), each.id.encode(), each.SerializeToString(), 0)
        for each in added
    ]
    writer.write(copies, timeout_s=PUBLISH_TIMEOUT_S)


def _added(
    known: Sequence[Control], profiles: Iterable[Profile], assignments: Iterable[Assignment]
) -> list[Control]:
    added: list[Control] = []
    ids = {control.id for control in known}
    for profile in profiles:
        text = profile.to_yaml()
        control = Control(id=f"profile:{profile.ref}:{_digest(text)}", profile_yaml=text)
        if control.id not in ids:
            added.append(control)
    for assignment in assignments:
        same = [each for each in (*known, *added) if _same_devices(each, assignment)]
        if not same or same[-1].assignment != assignment:
            # Numbered, so that an earlier assignment can be returned to.
            devices = f"{assignment.tenant}/{assignment.device_pattern}"
            name = f"{assignment.profile}@{assignment.profile_revision}"
            control_id = f"assign:{devices}:{len(same)}:{name}"
            added.append(Control(id=control_id, assignment=assignment))
    return added


def _same_devices(control: Control, assignment: Assignment) -> bool:
    mine = control.assignment
    return control.WhichOneof("change") == "assignment" and (mine.tenant, mine.device_pattern) == (
        assignment.tenant,
        assignment.device_pattern,
    )


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=6).hexdigest()
