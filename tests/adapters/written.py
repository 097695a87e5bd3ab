"""Effects into a sink of PostgreSQL, as its owner."""

from adapters.postgres.effect_sink import PostgresSink
from fleetpulse.effects import Effects
from fleetpulse.ports import Advance


def write(sink: PostgresSink, *batches: Effects) -> None:
    claim = sink.claim([0])[0]
    at = claim.next_offset or 0
    for number, each in enumerate(batches, at):
        sink.write(each, {0: Advance(claim.owner_epoch, number, number + 1)})
