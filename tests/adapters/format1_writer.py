"""Writes snapshots as the first release did: frozen, so that its files stay readable."""

import json
from hashlib import blake2b
from pathlib import Path

import numpy as np

from fleetpulse.snapshot import PartitionSnapshot


def write_format1(folder: Path, snapshot: PartitionSnapshot) -> None:
    """One file with everything in it; every device's state must be at hand."""
    arrays: dict[str, np.ndarray] = {}
    cohorts = []
    for number, states in enumerate(snapshot.cohorts):
        assert len(states.inline) == len(states.keys)
        arrays |= {f"{number}/{name}": values for name, values in states.rows.items()}
        cohorts.append(
            {
                "profile": states.profile.model_dump(mode="json"),
                "keys": [key.decode() for key in states.keys],
            }
        )
    header = json.dumps(
        {
            "partition": snapshot.partition,
            "next_offset": snapshot.next_offset,
            "topic_id": snapshot.topic_id,
            "result_version": snapshot.result_version,
            "meta": {**snapshot.meta, "cohorts": cohorts},
            "arrays": [[name, a.dtype.str, a.shape] for name, a in arrays.items()],
        }
    ).encode()
    body = padded(b"FPSNAP01" + len(header).to_bytes(8, "little") + header)
    for array in arrays.values():
        body += padded(np.ascontiguousarray(array).tobytes())
    home = folder / f"partition-{snapshot.partition:04d}"
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{snapshot.next_offset:020d}.snapshot"
    path.write_bytes(body + blake2b(body, digest_size=16).digest())


def padded(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // 64) * 64, b"\0")
