"""The fleet: frames of all devices, round by round, as SampleBlocks ready to be sent."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from fleetpulse.effects import F32, I64
from fleetpulse.identity import DEFAULT_TENANT, DeviceKey
from simulator.faults import FaultInjector
from simulator.framing import FrameEncoder, Frames
from simulator.machine import CHANNELS, Machines
from simulator.schedule import Episode, FaultPlan, Schedule
from simulator.transport import Transport, TransportPlan, TransportTruth

MOMENT_US: Final = 5_000
"""What shares a slot is due in as many moments as the slot has, each so far from the next."""
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """What decides every byte of a fleet's frames but their time."""

    devices: int
    rate_hz: float = 200.0
    frame_samples: int = 20
    seed: int = 1
    faults: FaultPlan = field(default_factory=FaultPlan)
    transport: TransportPlan = field(default_factory=TransportPlan)
    gateway: int = 1
    """Devices behind one gateway: they are due together."""
    prefix: str = "machine"
    tenant: str = DEFAULT_TENANT

    @property
    def period_ns(self) -> int:
        """Distance of two samples."""
        return round(_SECOND_NS / self.rate_hz)

    @property
    def frame_us(self) -> int:
        """Distance of two frames of a device."""
        return self.period_ns * self.frame_samples // 1000


class Fleet:
    """Deterministic: the same spec, start and round give the same frames.

    Device d measures d % frame_samples slots later than device 0, and those that share a slot send
    one after the other within it, so that a fleet's frames are due evenly over time. Samples lie on
    the slots of `start_us`.
    """

    def __init__(self, spec: FleetSpec, *, start_us: int) -> None:
        self.spec = spec
        self.start_us = aligned(start_us, spec.period_ns)
        self.device_ids = [f"{spec.prefix}-{device}" for device in range(spec.devices)]
        self.keys = [DeviceKey(spec.tenant, name).encode() for name in self.device_ids]
        slot = np.arange(spec.devices) % spec.frame_samples
        self._first_us = self.start_us + slot * spec.period_ns // 1000
        group = np.arange(spec.devices) // spec.frame_samples // spec.gateway
        moments = max(1, spec.period_ns // 1000 // MOMENT_US)
        self._delay_us = group * moments // (group[-1] + 1) * MOMENT_US
        # Rows are devices in order of their first due time, so that a round is sorted by it.
        self._order: I64 = np.argsort(slot, kind="stable")
        self._row_of = np.argsort(self._order)
        self._ordered_keys = [self.keys[device] for device in self._order]
        machines = Machines(spec.devices, spec.rate_hz, spec.frame_samples, spec.seed)
        self._machines, self._injector = machines, FaultInjector(machines)
        self.schedule = Schedule(spec.faults, spec.devices, spec.rate_hz, spec.seed)
        self._encoder = FrameEncoder(spec.frame_samples, len(CHANNELS), spec.period_ns)
        self._transport = Transport(spec.transport, spec.devices, spec.frame_us, spec.seed)

    def samples(self, number: int) -> F32:
        """What a round's frames hold, float32 [devices, frame_samples, channels]."""
        samples = self._machines.frames(self._order, np.full(len(self._order), number))
        count = self.spec.frame_samples
        for episode in self.schedule.touching(number * count, (number + 1) * count):
            self._injector.apply(samples[self._row_of[episode.device]], number, episode)
        return samples

    def measured(self, number: int) -> Frames:
        """A round's frames as a perfect network would carry them."""
        spec = self.spec
        before = number * spec.frame_samples * spec.period_ns // 1000
        t0_us = self._first_us[self._order] + before
        last_us = t0_us + (spec.frame_samples - 1) * spec.period_ns // 1000
        sequence = np.full(len(self._order), number)
        values = self._encoder.encode(self.samples(number), t0_us, sequence)
        due_us = last_us + self._delay_us[self._order]
        return Frames(self._order, sequence, last_us, due_us, self._ordered_keys, values)

    def frames(self, number: int) -> Frames:
        """A round's frames as they arrive, sorted by due time. Call with 0, 1, 2 and so on."""
        return self._transport.arriving(number, self.measured(number))

    @property
    def gateways(self) -> I64:
        """The gateway of each device, int64 [devices]: neighbours in due time share one."""
        return np.asarray(self._row_of // self.spec.gateway, np.int64)

    def remaining(self) -> Frames | None:
        """After the last round: frames that the network still holds back."""
        return self._transport.remaining()

    @property
    def transport_truth(self) -> TransportTruth:
        """What the network did so far."""
        return self._transport.truth

    def episodes(self, rounds: int) -> list[Episode]:
        """The illnesses that began within the first rounds."""
        return self.schedule.until(rounds * self.spec.frame_samples)

    def time_us(self, device: int, sample: int) -> int:
        """Event time of a device's sample."""
        return int(self._first_us[device]) + sample * self.spec.period_ns // 1000


def aligned(time_us: int, period_ns: int) -> int:
    """The first slot boundary at or after a time."""
    slots = -(-time_us * 1000 // period_ns)
    return -(-slots * period_ns // 1000)
