"""What the ingest knows of a device: its record key, its headers and its profile's limits."""

from dataclasses import dataclass
from typing import Final

from fleetpulse.control import ControlState
from fleetpulse.errors import InputError
from fleetpulse.identity import DeviceKey, check_name
from fleetpulse.profile import Profile
from serve_apps.ingest.limits import Allowance, allowance

SCHEMA_VERSION: Final = b"1"
DEVICES_MAX: Final = 200_000
"""Devices remembered; then the cache starts anew."""
PAST_US: Final = 10 * 365 * 86_400 * 1_000_000
"""Past bound of devices whose profile is not known here."""
FUTURE_US: Final = 5_000_000

Headers = list[tuple[str, str | bytes | None]]


@dataclass(frozen=True, slots=True)
class Device:
    """One device. profile: None while no control record assigned one; then the core decides."""

    key: bytes
    headers: Headers
    profile: Profile | None
    channels: frozenset[str]
    past_us: int
    future_us: int
    allowance: Allowance

    def check_time(self, field: str, oldest_us: int, newest_us: int, now_us: int) -> None:
        """Raise InputError if a sample is further from now than the profile allows."""
        if newest_us > now_us + self.future_us:
            raise InputError(field, f"is more than {self.future_us / 1e6:g} s ahead of now")
        if oldest_us < now_us - self.past_us:
            raise InputError(
                field,
                f"is more than {self.past_us / 1e6:g} s behind now; "
                "epoch milliseconds or RFC 3339 are expected",
            )


class Devices:
    """Devices by tenant and id. Follows the control records that `apply` is given."""

    def __init__(
        self, node_id: str, controls: ControlState | None = None, *, replicas: int = 1
    ) -> None:
        """replicas: of the ingest, that share what a device may send."""
        self._replicas = replicas
        self._node = node_id.encode()
        self._controls = controls or ControlState()
        self._known: dict[tuple[str, str], Device] = {}

    def apply(self, control: bytes) -> None:
        """Take a Control record's value; raises InputError or ConfigError and changes nothing."""
        if self._controls.apply(control):
            self._known.clear()

    def find(self, tenant: str, device_id: str) -> Device:
        """The device; raises InputError if the id cannot be one."""
        device = self._known.get((tenant, device_id))
        if device is None:
            device = self._describe(tenant, device_id)
            if len(self._known) >= DEVICES_MAX:
                self._known.clear()
            self._known[tenant, device_id] = device
        return device

    def _describe(self, tenant: str, device_id: str) -> Device:
        name = DeviceKey(check_name("x-tenant", tenant), check_name("device_id", device_id))
        key = name.encode()
        profile = self._controls.profile_of(key)
        return Device(
            key=key,
            headers=[
                ("device-id", device_id.encode()),
                ("schema-version", SCHEMA_VERSION),
                ("ingest-node-id", self._node),
            ],
            profile=profile,
            channels=frozenset(profile.channels) if profile else frozenset(),
            past_us=int(profile.past_bound_s * 1e6) if profile else PAST_US,
            future_us=int(profile.future_bound_s * 1e6) if profile else FUTURE_US,
            allowance=allowance(profile, self._replicas),
        )
