"""The doors between the core and the world. Each has one real adapter and one in memory;
one contract suite (tests/contracts) runs on both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetpulse.columns import Arrays
from fleetpulse.effects import F32, Effects
from fleetpulse.profile import Profile
from fleetpulse.snapshot import Blobs, DeviceStates, PartitionSnapshot


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one poll, in log order per partition. Arrays and lists are of one length.

    partitions: int32 [n]; offsets: int64 [n]; log_time_us: int64 [n], the broker's append time.
    """

    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    log_time_us: NDArray[np.int64]
    keys: list[bytes]
    values: list[bytes]

    def __len__(self) -> int:
        return len(self.keys)

    def present(self) -> list[int]:
        """The partitions that it has records of, in order."""
        found: list[int] = np.flatnonzero(np.bincount(self.partitions)).tolist()
        return found

    def slice(self, begin: int, end: int) -> "RecordBatch":
        """Records [begin, end)."""
        if begin == 0 and end == len(self):
            return self
        return RecordBatch(
            self.partitions[begin:end],
            self.offsets[begin:end],
            self.log_time_us[begin:end],
            self.keys[begin:end],
            self.values[begin:end],
        )

    def take(self, index: NDArray[np.int64]) -> "RecordBatch":
        """Records by index."""
        at = index.tolist()
        return RecordBatch(
            self.partitions[index],
            self.offsets[index],
            self.log_time_us[index],
            [self.keys[i] for i in at],
            [self.values[i] for i in at],
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """What an owner gets from a sink: its fence and how far the sink is.

    next_offset: first offset whose effects the sink does not have; None: nothing yet.
    """

    owner_epoch: int
    next_offset: int | None


@dataclass(frozen=True, slots=True)
class Advance:
    """One partition's step forward in a sink: effects of [previous_offset, next_offset)."""

    owner_epoch: int
    previous_offset: int
    next_offset: int


class EffectSink(Protocol):
    """Takes effects and their progress in one atomic write, or nothing of them."""

    name: str

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """Become the owner: every earlier owner's writes are refused from here on."""

    def write(self, effects: Effects, advance: Mapping[int, Advance]) -> None:
        """Write the sink's share of `effects` and advance, atomically.

        Raises Fenced when a partition has another owner or another previous offset,
        RetryLater when the outcome is unknown or nothing was written.
        """

    def close(self) -> None:
        """Release connections."""


@dataclass(frozen=True, slots=True)
class PartitionPause:
    """Who paused a partition, and when (wall clock)."""

    paused_by: str
    since_us: int


class PartitionPauses(Protocol):
    """Partitions that are not to be fetched, until a person resumes them."""

    def current(self) -> Mapping[int, PartitionPause]:
        """All that hold; raises RetryLater."""

    def close(self) -> None:
        """Release connections."""


class SnapshotStore(Protocol):
    """Device states as blobs, and per partition the newest generations of snapshots that name
    them. Any number of threads. Where stored bytes are missing or altered, reading raises
    DamagedState.
    """

    def put(
        self, partition: int, next_offset: int, states: DeviceStates, *, copy: int
    ) -> DeviceStates:
        """Write the states at hand as blobs; answers the same with their places.

        copy: the number that the directory gave the copy. A saved snapshot supersedes what was
        put of earlier copies of its partition and is not named by it.
        """

    def read(self, profile: Profile, blobs: Blobs) -> Arrays:
        """The states of devices of one profile, by column, in their order."""

    def tidied(self, snapshot: PartitionSnapshot) -> PartitionSnapshot:
        """The same with some blobs moved, so that no more is stored than twice what is valid."""

    def save(self, snapshot: PartitionSnapshot) -> None:
        """Write durably; every state must have its place. Drops generations beyond the bound, and
        the blobs that only they named.
        """

    def keep(self, snapshot: PartitionSnapshot, name: str) -> None:
        """Write it also, with copies of its blobs, to where no later generation drops it."""

    def load(self, partition: int) -> PartitionSnapshot | None:
        """The newest intact generation, the states of its active devices at hand; warns about
        each torn one it skips.
        """


class Scorer(Protocol):
    """Runs a model over windows."""

    def score(self, model: str, samples: F32) -> F32:
        """float32 [n, size, channels] -> float32 [n]. Bits do not depend on n or position."""


class LogReader(Protocol):
    """A member of the shards' consumer group. Called from one thread."""

    def poll(self, records_max: int, timeout_s: float) -> RecordBatch:
        """Next records; runs assignment callbacks. An empty batch after `timeout_s`."""

    def start(self, offsets: Mapping[int, int]) -> None:
        """Begin to fetch assigned partitions at these offsets."""

    def pause(self, partitions: Sequence[int]) -> None:
        """Stop fetching, stay the owner."""

    def resume(self, partitions: Sequence[int]) -> None:
        """Fetch again."""

    def end_offset(self, partition: int) -> int | None:
        """The log's end as of a moment ago, also of a paused partition; None: not known yet."""

    def close(self) -> None:
        """Leave the group."""


class AssignmentListener(Protocol):
    """Told by a LogReader, inside poll, what it owns."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """New partitions; the listener calls LogReader.start for them."""

    def revoked(self, partitions: Sequence[int]) -> None:
        """About to give these up: last chance to commit."""

    def lost(self, partitions: Sequence[int]) -> None:
        """Already another's: drop their state, write nothing."""
