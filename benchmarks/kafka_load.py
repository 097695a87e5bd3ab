"""Frames straight into the telemetry topic, with the ticks that belong to it."""

import time
from threading import Event, Thread

from confluent_kafka import KafkaError, Message, Producer

from adapters.kafka.client import producer_config
from fleetpulse.errors import BrokerUnavailable
from fleetpulse.identity import CONTROL_KEY, DEFAULT_TENANT, TICK_KEY
from fleetpulse.profile import Profile
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Assignment, Control, Tick
from simulator.framing import Frames
from simulator.tally import Tally

_TICK_S = 1.0
_FLUSH_S = 30.0
_POLL_S = 0.002
_INFLIGHT_MAX = 200_000


class KafkaTarget:
    """A producer that counts acknowledgements. Its thread serves them and writes the ticks."""

    def __init__(self, settings: KafkaSettings, *, frame_samples: int) -> None:
        config = producer_config(settings, client_id="bench-load")
        config |= {
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 2 * _INFLIGHT_MAX,
        }
        self.tally = Tally()
        self._frame_samples = frame_samples
        self._producer = Producer(config)
        self._topic = settings.topic("telemetry")
        self._partitions = settings.partitions
        self._ending = Event()
        self._thread = Thread(target=self._serve, name="kafka-load", daemon=True)
        self._thread.start()

    def send(self, frames: Frames) -> None:
        """Hand frames to the producer."""
        produce, topic, delivered = self._producer.produce, self._topic, self._delivered
        self.tally.add_sent(len(frames) * self._frame_samples)
        for key, value in zip(frames.keys, frames.values, strict=True):
            produce(topic, value, key, on_delivery=delivered)
        while len(self._producer) > _INFLIGHT_MAX:
            time.sleep(_POLL_S)

    def close(self, timeout_s: float) -> None:
        """Flush."""
        self._ending.set()
        self._thread.join(timeout_s)
        self._producer.flush(timeout_s)

    def _serve(self) -> None:
        tick = Tick(node_id="bench").SerializeToString()
        next_tick_s = time.monotonic()
        while not self._ending.is_set():
            self._producer.poll(_POLL_S)
            if time.monotonic() >= next_tick_s:
                next_tick_s += _TICK_S
                for partition in range(self._partitions):
                    self._producer.produce(self._topic, tick, TICK_KEY, partition=partition)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.tally.add_accepted(self._frame_samples, 0.0)
        else:
            self.tally.add_failed(self._frame_samples, error.str())


def configure(settings: KafkaSettings, profile: Profile, device_pattern: str) -> None:
    """Give the devices that match the profile, in every partition."""
    producer = Producer(producer_config(settings, client_id="bench-control"))
    assignment = Assignment(
        tenant=DEFAULT_TENANT,
        device_pattern=device_pattern,
        profile=profile.name,
        profile_revision=profile.revision,
    )
    controls = (
        Control(id=f"profile:{profile.ref}", profile_yaml=profile.to_yaml()),
        Control(id=f"assign:{device_pattern}:{profile.ref}", assignment=assignment),
    )
    for control in controls:
        for partition in range(settings.partitions):
            producer.produce(
                settings.topic("telemetry"),
                control.SerializeToString(),
                CONTROL_KEY,
                partition=partition,
            )
    if producer.flush(_FLUSH_S):
        raise BrokerUnavailable("the profile of the run was not acknowledged")
