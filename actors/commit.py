"""The commit procedure.

1. The engine takes a cut of records; its effects are final (the core is deterministic).
2. Each sink gets the effects it does not have yet, with the offsets they advance it by.
3. A sink writes rows and offsets in one atomic act, in log order: PostgreSQL rows with its
   progress rows, Kafka rows with the group's offsets. The sinks do not wait for each other.
4. Alerts go to people only after the alert sink's commit.
5. A snapshot becomes valid only when every sink is at or beyond its offset.
6. A refusal (Fenced) or an unknown outcome (RetryLater) ends the shard's incarnation: it drops
   its state, joins the group again, claims, and learns from the claims what each sink has.
"""

import time
from collections.abc import Sequence

from actors.partitions import Ownership
from actors.sink_writer import SinkWriter
from fleetpulse.effects import Effects
from fleetpulse.ports import Claim, RecordBatch

ALERT_SINK = "alerts"


class Commit:
    """Hands effects to the sinks. Called from the shard's loop only."""

    def __init__(self, writers: Sequence[SinkWriter], ownership: Ownership) -> None:
        self.writers = {writer.name: writer for writer in writers}
        self._ownership = ownership

    def take(self, batch: RecordBatch, effects: Effects, busy_s: float) -> Effects:
        """Steps 1 and 2 for one cut.

        Answers the alerts and events that their sink has from an earlier incarnation, which may
        have died between its commit and telling people: they are told again.
        """
        taken = frozenset(batch.present())
        advances = self._ownership.take(batch, busy_s)
        for name, advance in advances.items():
            self.writers[name].submit(effects.without(taken - advance.keys()), advance)
        fresh = advances.get(ALERT_SINK, {})
        return Effects(
            alerts=[each for each in effects.alerts if each.partition not in fresh],
            presences=[each for each in effects.presences if each.partition not in fresh],
            sessions=[each for each in effects.sessions if each.partition not in fresh],
            forgotten=[each for each in effects.forgotten if each.partition not in fresh],
        )

    def claim(self, partitions: Sequence[int]) -> dict[str, dict[int, Claim]]:
        """Become the owner in every sink; whoever wrote there before is fenced."""
        return {name: writer.claim(partitions) for name, writer in self.writers.items()}

    def pace(self, *, behind: bool) -> None:
        """Whether the shard works off a backlog; what is urgent never waits."""
        for writer in self.writers.values():
            writer.behind = behind

    @property
    def full(self) -> bool:
        """Some sink is at its bound. Raises a writer's error."""
        return any(writer.full for writer in self.writers.values())

    def has_all(self, partition: int, offset: int) -> bool:
        """Step 5: whether every sink is at or beyond an offset."""
        return all(w.done.get(partition, -1) >= offset for w in self.writers.values())

    def drain(self, timeout_s: float) -> None:
        """Wait until every sink has written everything."""
        deadline_s = time.monotonic() + timeout_s
        for writer in self.writers.values():
            writer.drain(deadline_s)

    def forget(self, partitions: Sequence[int]) -> None:
        """These partitions are another's."""
        for writer in self.writers.values():
            writer.forget(partitions)

    def close(self) -> None:
        """End all sink threads."""
        for writer in self.writers.values():
            writer.close()
