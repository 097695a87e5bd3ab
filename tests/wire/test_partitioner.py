"""A device's partition is the one that Kafka's Java clients and murmur2_random choose."""

import pytest

from fleetpulse.identity import DeviceKey, murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed_hash"),
    [  # the values in Kafka's own test of Utils.murmur2
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_hash_is_that_of_kafka(key: str, signed_hash: int) -> None:
    assert murmur2(key.encode()) == signed_hash & 0xFFFFFFFF


def test_devices_keep_their_partitions() -> None:
    keys = [DeviceKey("default", f"pump-{number}").encode() for number in range(8)]
    assert keys[0] == b"default/pump-0"
    assert [partition_of(key, 8) for key in keys] == [6, 1, 2, 0, 2, 0, 7, 2], (
        "their state would be left behind"
    )
