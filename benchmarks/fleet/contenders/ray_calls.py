"""Ray as it suggests itself: actors that own devices, a call for each frame.

Ray has no back-pressure of its own; at most 8,000 calls are under way.
"""

import os
from typing import Any
from zlib import crc32

import ray

from benchmarks.fleet.contenders.plain import Devices, consumer
from benchmarks.fleet.job import PLAN_VARIABLE

_ACTORS = 4
_WINDOW_CALLS = 4000
_CONSUME_RECORDS = 1000
_CONSUME_S = 0.02
_VARIABLES = (PLAN_VARIABLE, "PYTHONPATH", "OMP_NUM_THREADS", "FLEETPULSE_BENCH_RUN")


def main() -> None:
    """Until a signal."""
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 * 2**20,
        runtime_env={"env_vars": {name: os.environ[name] for name in _VARIABLES}},
    )
    owners: list[Any] = [ray.remote(num_cpus=0.5)(Devices).remote() for _ in range(_ACTORS)]
    ray.get([owner.__ray_ready__.remote() for owner in owners])
    source = consumer()
    before: list[Any] = []
    calls: list[Any] = []
    while True:
        for message in source.consume(_CONSUME_RECORDS, _CONSUME_S):
            key = message.key() or b""
            owner = owners[crc32(key) % _ACTORS]
            calls.append(owner.take.remote(key, message.value()))
            if len(calls) >= _WINDOW_CALLS:
                ray.get(before)
                before, calls = calls, []


if __name__ == "__main__":
    main()
