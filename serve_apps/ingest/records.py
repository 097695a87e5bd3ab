"""From one validated sample or frame to one Kafka record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from fleetpulse.errors import InputError
from fleetpulse.profile import CHANNELS_MAX
from fleetpulse.telemetry_pb2 import Telemetry
from fleetpulse.wire import Block
from serve_apps.ingest.devices import Device, Devices, Headers
from serve_apps.ingest.limits import Charge

RECORD_BYTES_MAX: Final = 900_000
"""Below Kafka's default bound of one message."""
FLOAT32_MAX: Final = 3.4028234663852886e38
NAME_CHARACTERS_MAX: Final = 128


class Record(NamedTuple):
    """What is produced."""

    key: bytes
    value: bytes
    headers: Headers


@dataclass(slots=True)
class Request:
    """Whose records these are and what bounds them."""

    tenant: str
    now_us: int
    metrics_max: int
    devices: Devices
    charges: list[Charge] = field(default_factory=list)
    """Of each record in turn."""

    def sample(
        self,
        device_id: str,
        ts_ms: int,
        metrics: Mapping[str, float],
        encoded: bytes | None = None,
    ) -> Record:
        """A Telemetry record; `encoded` if the sender encoded it. Raises InputError."""
        device = self.devices.find(self.tenant, device_id)
        at_us = ts_ms * 1000
        try:
            device.check_time("ts", at_us, at_us, self.now_us)
            self._check_metrics(device, metrics)
        except InputError as error:
            error.key = device.key
            raise
        if encoded is None:
            message = Telemetry(device_id=device_id, ts=ts_ms)
            stored = message.metrics
            for name, value in metrics.items():  # twice as fast as handing the mapping over
                stored[name] = value
            encoded = message.SerializeToString()
        return self._record(device, encoded, 1)

    def frame(self, block: Block, encoded: bytes) -> Record:
        """A SampleBlock record. Raises InputError."""
        device = self.devices.find(self.tenant, block.device_id)
        try:
            _check_shape(device, block)
            last_us = block.t0_us + (block.count - 1) * block.period_ns // 1000
            device.check_time("t0_us", block.t0_us, last_us, self.now_us)
            _check_finite(block)
        except InputError as error:
            error.key = device.key
            raise
        return self._record(device, encoded, block.count)

    def _record(self, device: Device, value: bytes, samples: int) -> Record:
        if len(value) > RECORD_BYTES_MAX:
            raise InputError("body", f"has a record above {RECORD_BYTES_MAX} bytes", status=413)
        self.charges.append(Charge(device.key, samples, device.allowance))
        return Record(device.key, value, device.headers)

    def _check_metrics(self, device: Device, metrics: Mapping[str, float]) -> None:
        if not metrics:
            raise InputError("metrics", "must not be empty")
        if len(metrics) > self.metrics_max:
            raise InputError("metrics", f"are {len(metrics)}, more than {self.metrics_max}")
        if device.profile is None:
            long = [name for name in metrics if not 0 < len(name) <= NAME_CHARACTERS_MAX]
            if long:
                raise InputError("metrics", "have a name that is empty or longer than 128")
        elif not metrics.keys() <= device.channels:
            unknown = next(name for name in metrics if name not in device.channels)
            raise InputError(
                f"metrics.{unknown[:NAME_CHARACTERS_MAX]}",
                f"is no channel of profile {device.profile.ref}",
            )
        for name, value in metrics.items():
            if not -FLOAT32_MAX <= value <= FLOAT32_MAX:
                raise InputError(f"metrics.{name}", "must be a finite number within float32")


def _check_shape(device: Device, block: Block) -> None:
    profile = device.profile
    if not 1 <= block.count <= (profile.block_samples_max if profile else RECORD_BYTES_MAX):
        raise InputError("count", f"is {block.count}: empty or longer than the profile allows")
    if block.count > 1 and block.period_ns == 0:
        raise InputError("period_ns", "must be positive")
    size, width = len(block.samples), 4 * block.count
    if profile is None:
        if size % width or not 1 <= size // width <= CHANNELS_MAX:
            raise InputError("samples", f"are {size} bytes: not count × channels float32")
        return
    if block.profile_revision not in (0, profile.revision):
        raise InputError("profile_revision", f"is {block.profile_revision}, not {profile.ref}")
    if size != width * len(profile.channels):
        raise InputError(
            "samples",
            f"are {size} bytes, not {block.count} × {len(profile.channels)} float32 "
            f"of profile {profile.ref}",
        )


def _check_finite(block: Block) -> None:
    if not np.isfinite(np.frombuffer(block.samples, "<f4")).all():
        raise InputError("samples", "must be finite numbers")
