"""`fleetpulse shards`: add and remove shards while the stack runs."""

from typing import Annotated

import typer

WAIT_S = 60.0


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(shards)


def shards(
    count: Annotated[int, typer.Argument(min=1, help="How many there shall be.")],
) -> None:
    """Change the number of shards; return when every partition is owned by one of them."""
    import asyncio
    import time

    from devstack.attach import attach
    from devstack.shards_wanted import want_shards
    from fleetpulse.errors import ConfigError, RetryLater
    from fleetpulse.settings import load_settings

    settings = load_settings()
    partitions = settings.kafka.partitions
    if count > partitions:
        raise ConfigError(f"{count} shards: there are {partitions} partitions, one shard each")
    fleet = attach(settings)
    want_shards(settings.data_folder, count)
    deadline_s = time.monotonic() + WAIT_S
    while True:
        found = asyncio.run(fleet.status())
        owned = {part.partition for shard in found for part in shard.partitions}
        working = [shard for shard in found if shard.partitions]
        if len(found) == len(working) == count and len(owned) == partitions:
            break
        if time.monotonic() > deadline_s:
            raise RetryLater(
                f"after {WAIT_S:g} s {len(found)} shards own {len(owned)} partitions"
                f" of {partitions}"
            )
        time.sleep(0.2)
    for shard in sorted(found, key=lambda each: each.shard):
        print(f"{shard.shard}  pid {shard.pid}  {len(shard.partitions)} partitions")
