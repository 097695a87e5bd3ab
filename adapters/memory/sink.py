"""EffectSink in memory, with the fencing of the real ones."""

from collections.abc import Mapping, Sequence
from threading import Lock

from fleetpulse.effects import Effects
from fleetpulse.errors import Fenced
from fleetpulse.ports import Advance, Claim


class MemoryTable:
    """What the sinks of several owners share: everything written, and each partition's claim."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.written = Effects()
        self.claims: dict[int, Claim] = {}


class MemoryEffectSink:
    """One owner's door to a MemoryTable."""

    def __init__(self, table: MemoryTable, *, name: str = "memory") -> None:
        self.name = name
        self._table = table

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """Become the owner: every earlier owner's writes are refused from here on."""
        with self._table.lock:
            for partition in partitions:
                held = self._table.claims.get(partition, Claim(0, None))
                self._table.claims[partition] = Claim(held.owner_epoch + 1, held.next_offset)
            return {partition: self._table.claims[partition] for partition in partitions}

    def write(self, effects: Effects, advance: Mapping[int, Advance]) -> None:
        """Write all or raise Fenced."""
        with self._table.lock:
            refused = tuple(p for p, step in advance.items() if not self._accepts(p, step))
            if refused:
                raise Fenced("another owner or offset", partitions=refused)
            self._table.written.extend(effects)
            for partition, step in advance.items():
                self._table.claims[partition] = Claim(step.owner_epoch, step.next_offset)

    def _accepts(self, partition: int, step: Advance) -> bool:
        held = self._table.claims.get(partition)
        return (
            held is not None
            and held.owner_epoch == step.owner_epoch
            and held.next_offset in (None, step.previous_offset)
        )

    def close(self) -> None:
        """Nothing is held."""
