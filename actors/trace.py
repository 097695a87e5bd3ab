"""When sampled results passed each stage of a shard, as lines of JSON for whoever measures.

Off unless a folder is named. The core has no clock: the shell around it takes the times.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Final, Literal

from fleetpulse.effects import Effects
from fleetpulse.identity import DeviceKey
from fleetpulse.ports import Advance, RecordBatch

SCORE_INTERVAL_US: Final = 10_000
"""Least time between two scores that are followed; raised alerts are followed all."""
WAITING_MAX: Final = 10_000
LINES_MAX: Final = 1_000_000

Followed = Literal["alert", "score"]
_SINK_OF: Final[dict[Followed, str]] = {"alert": "alerts", "score": "kafka"}
_log = logging.getLogger(__name__)


class Tracer:
    """Follows nothing. Called by the loop, `committed` by the sinks' threads."""

    def polled(self) -> None:
        """A poll came back."""

    def stepped(self) -> None:
        """The engine took a cut and knows which windows closed."""

    def scored(self) -> None:
        """The models scored them."""

    def decided(self, batch: RecordBatch, effects: Effects) -> None:
        """The cut's effects are known."""

    def committed(self, sink: str, advance: Mapping[int, Advance]) -> None:
        """A sink has the effects of these offsets."""

    def close(self) -> None:
        """Nothing follows."""


@dataclass(frozen=True, slots=True)
class _Result:
    """A result on its way. offset: of the newest record of its device in its cut."""

    of: Followed
    key: str
    end_us: int
    partition: int
    offset: int
    times_us: tuple[tuple[str, int], ...]


class FileTracer(Tracer):
    """Writes a line per followed result once its sink has it."""

    def __init__(self, file: Path) -> None:
        """file: lines are appended; a folder that is missing is made."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lines: TextIOWrapper | None = file.open("a")
        self._left = LINES_MAX
        self._times_us = {"polled": 0, "stepped": 0, "scored": 0}
        self._score_due_us = 0
        self._waiting: dict[Followed, deque[_Result]] = {
            of: deque(maxlen=WAITING_MAX) for of in _SINK_OF
        }

    @property
    def open(self) -> bool:
        """Whether it still writes."""
        return self._lines is not None

    def polled(self) -> None:
        """Now."""
        self._times_us["polled"] = _now_us()

    def stepped(self) -> None:
        """Now."""
        self._times_us["stepped"] = _now_us()

    def scored(self) -> None:
        """Now."""
        self._times_us["scored"] = _now_us()

    def decided(self, batch: RecordBatch, effects: Effects) -> None:
        """Follow every alert that was raised, and now and then a score."""
        now_us = _now_us()
        for event in effects.alerts:
            if event.kind == "raised":
                key = DeviceKey(event.tenant, event.device_id).encode()
                self._follow("alert", key, event.window_end_us, batch, now_us)
        if effects.scores and now_us >= self._score_due_us:
            self._score_due_us = now_us + SCORE_INTERVAL_US
            rows = effects.scores[0]
            at = now_us % len(rows.devices)
            self._follow("score", rows.devices[at], int(rows.window_end_us[at]), batch, now_us)

    def committed(self, sink: str, advance: Mapping[int, Advance]) -> None:
        """Write what the sink has now; what it had before this write is of an earlier life."""
        of = next((of for of, name in _SINK_OF.items() if name == sink), None)
        if of is None or self._lines is None:
            return
        now_us, waiting = _now_us(), self._waiting[of]
        done: list[str] = []
        for _ in range(len(waiting)):
            result = waiting.popleft()
            step = advance.get(result.partition)
            if step is None or result.offset >= step.next_offset:
                waiting.append(result)
            elif result.offset >= step.previous_offset:
                times_us = dict(result.times_us) | {"committed": now_us}
                line = {"of": of, "key": result.key, "end_us": result.end_us, "at_us": times_us}
                done.append(json.dumps(line) + "\n")
        if done:
            self._write(done)

    def close(self) -> None:
        """End the file."""
        lines, self._lines = self._lines, None
        if lines is not None:
            with suppress(OSError):
                lines.close()

    def _follow(
        self, of: Followed, key: bytes, end_us: int, batch: RecordBatch, now_us: int
    ) -> None:
        """A result without a record of its device in the cut was not waited for by anybody."""
        if key not in batch.keys:
            return
        at = len(batch) - 1 - batch.keys[::-1].index(key)
        times_us = (
            ("appended", int(batch.log_time_us[at])),
            *self._times_us.items(),
            ("concluded", now_us),
        )
        self._waiting[of].append(
            _Result(
                of,
                key.decode(),
                end_us,
                int(batch.partitions[at]),
                int(batch.offsets[at]),
                times_us,
            )
        )

    def _write(self, done: list[str]) -> None:
        """A full disk or a full file ends the measuring, never the shard."""
        lines = self._lines
        if lines is None or len(done) > self._left:
            return
        self._left -= len(done)
        try:
            lines.writelines(done)
            lines.flush()
        except (OSError, ValueError) as error:  # ValueError: closed meanwhile
            _log.warning("trace: %s", error)
            self.close()


def tracer(folder: Path | None, shard: str) -> Tracer:
    """What follows results into `folder`; nothing if there is none."""
    return FileTracer(folder / f"{shard}.jsonl") if folder else Tracer()


def _now_us() -> int:
    return time.time_ns() // 1000
