"""Where a result's latency goes, stage by stage: what the shards noted joined with what was seen.

Each stage counts from the one before it; the first from the moment when the frame that completes
the result's window was due.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from benchmarks.alert_watch import VisibleAlert
from benchmarks.report import Latency
from benchmarks.score_watch import Received
from benchmarks.windows import WindowLedger

Stages = dict[str, dict[str, Latency]]
"""Alert or score -> stage -> what it took."""
Place = tuple[str, bytes, int]
"""What of which device (record key), and its window's end in epoch microseconds."""

SHARD: Final = ("appended", "polled", "stepped", "scored", "concluded", "committed")
STAGES: Final = ("produced", "broker", *SHARD[1:], "visible")
"""produced: the generator hands the frame to its producer. broker: the log has it. polled: its
shard has it. stepped: its window is known. scored: the model is done. concluded: the effects are
known. committed: an alert by PostgreSQL, a score by Kafka. visible: an alert on the WebSocket, a
score to a read_committed reader."""


def stages(
    folder: Path | None,
    ledger: WindowLedger,
    received: list[Received],
    alerts: list[VisibleAlert],
    *,
    from_us: int,
) -> Stages:
    """Latencies of each stage, of results whose windows end after `from_us`.

    folder: where the shards noted; None: nowhere. A stage without results is left out.
    """
    seen_us: dict[Place, int] = {("score", r.key, r.end_us): r.received_us for r in received}
    for alert in alerts:
        if alert.received_us is not None:
            seen_us["alert", alert.key, alert.window_end_us] = alert.received_us
    found: dict[str, list[list[int]]] = {}
    for (of, key, end_us), at_us in _noted(folder):
        visible_us = seen_us.get((of, key, end_us))
        if visible_us is None or end_us <= from_us or not ledger.knows(key):
            continue
        times_us = [ledger.due_us(key, end_us), ledger.sent_us(key, end_us)]
        times_us += [at_us[stage] for stage in SHARD] + [visible_us]
        found.setdefault(of, []).append([after - before for before, after in pairwise(times_us)])
    return {
        of: {
            stage: Latency.of(list(spent_us))
            for stage, spent_us in zip(STAGES, zip(*rows, strict=True), strict=True)
        }
        for of, rows in found.items()
    }


def _noted(folder: Path | None) -> Iterator[tuple[Place, Mapping[str, int]]]:
    for file in sorted(folder.glob("*.jsonl")) if folder else ():
        for line in file.read_text().splitlines():
            try:
                noted: dict[str, Any] = json.loads(line)
            except ValueError:
                continue  # a killed shard's last line is cut off
            yield (noted["of"], noted["key"].encode(), noted["end_us"]), noted["at_us"]
