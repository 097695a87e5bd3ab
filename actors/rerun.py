"""A few devices' part of the log, run through the engine once more.

The engine begins without devices at the span's first record: the longer before the moment of
interest the span begins, the more of its state is what the live shard's was.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from adapters.kafka.range_reader import RangeReader
from fleetpulse.engine import Engine
from fleetpulse.ports import RecordBatch, Scorer
from fleetpulse.rerun import Turn, engine_at, of_devices, rerun

SLACK_US = 60_000_000
"""Longer than publishing a control takes, and than the brokers' clocks differ."""


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets [begin, end) of one partition; exact from log time `from_us` on."""

    partition: int
    begin: int
    end: int
    from_us: int
    """0: the span begins with the log."""

    @classmethod
    def since(cls, log: RangeReader, partition: int, log_time_us: int, end: int) -> "Span":
        """All records from `log_time_us` on, as far back as they are retained."""
        first, _ = log.bounds(partition)
        begin = min(max(first, log.offset_at(partition, log_time_us - SLACK_US)), end)
        if begin == first:
            return cls.whole(log, partition, end)
        return cls(partition, begin, end, log_time_us)

    @classmethod
    def whole(cls, log: RangeReader, partition: int, end: int) -> "Span":
        """All that is retained."""
        first, _ = log.bounds(partition)
        from_us = log.time_at(partition, first) + SLACK_US if first else 0
        return cls(partition, min(first, end), end, from_us)


@dataclass(frozen=True, slots=True)
class Again:
    """Reads spans of one log."""

    log: RangeReader
    scorer: Scorer
    partitions_total: int

    def engine(self, span: Span) -> Engine:
        """An engine that knows the controls before `span.from_us`; the others are in the span."""
        controls = self.log.controls(span.from_us) if span.from_us else []
        return engine_at(span.partition, self.partitions_total, controls)

    def records(self, span: Span, keys: frozenset[bytes]) -> Iterator[RecordBatch]:
        """The devices' records, with ticks and controls."""
        return of_devices(self.log.read(span.partition, span.begin, span.end), keys)

    def run(self, span: Span, keys: frozenset[bytes], engine: Engine) -> Iterator[Turn]:
        """Everything the engine says about these devices between the span's ends."""
        return rerun(engine, self.records(span, keys), self.scorer)
