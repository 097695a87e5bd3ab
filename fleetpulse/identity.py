"""Names of devices: the record key `tenant/device`, its partition and its window phase."""

import re
from typing import Final, NamedTuple
from zlib import crc32

from fleetpulse.errors import InputError

DEFAULT_TENANT: Final = "default"
# Reserved keys carry no "/", so they can never be a device's.
TICK_KEY: Final = b"!tick"
CONTROL_KEY: Final = b"!control"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


class DeviceKey(NamedTuple):
    """A device within its tenant."""

    tenant: str
    device: str

    def encode(self) -> bytes:
        """The Kafka record key."""
        return f"{self.tenant}/{self.device}".encode()

    @classmethod
    def decode(cls, key: bytes) -> "DeviceKey":
        """Parse a record key; raises InputError when it names no device."""
        tenant, slash, device = key.decode("utf-8", "replace").partition("/")
        if not slash:
            raise InputError("key", "is not tenant/device")
        return cls(tenant, device).check()

    def check(self) -> "DeviceKey":
        """Itself if both names can identify; raises InputError."""
        check_name("tenant", self.tenant)
        check_name("device_id", self.device)
        return self


def check_name(field: str, name: str) -> str:
    """Return `name` if it can identify a tenant or device; raises InputError naming `field`."""
    if not _NAME.fullmatch(name):
        rule = "1 to 128 letters, digits, '.', '_', ':' or '-', starting with a letter or digit"
        raise InputError(field, "must not be empty" if not name else f"must be {rule}")
    return name


def murmur2(data: bytes) -> int:
    """Kafka's key hash: MurmurHash2, 32 bit (org.apache.kafka.common.utils.Utils.murmur2)."""
    length = len(data)
    h = (_SEED ^ length) & _MASK
    for at in range(0, length - 3, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    tail = data[length & ~3 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Java's and librdkafka's `murmur2_random` give a non-empty key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def phase_of(key: bytes, hop: int) -> int:
    """Slots by which a device's windows are shifted: a fleet's do not all end at once."""
    return crc32(key) % hop
