"""A fleet that sends while a test does something to the shards, and the comparison afterwards."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.check import await_processed, check
from benchmarks.child import start_module
from benchmarks.plan import LoadPlan
from benchmarks.score_watch import Received, ScoreWatch
from fleetpulse.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FRAME_SAMPLES = 20
COMPARED = ("scores", "alerts", "rollups in PostgreSQL", "alerts in PostgreSQL")


@dataclass(frozen=True, slots=True)
class Load:
    """200 samples/s of each device; event time crosses a minute after 8 s."""

    devices: int
    seconds: int
    late: float = 0.0
    """Share of frames that come after the lateness bound."""

    def plan(self) -> LoadPlan:
        return LoadPlan(
            run="e2e",
            devices=self.devices,
            rate_hz=200,
            frame_samples=FRAME_SAMPLES,
            seconds=self.seconds,
            via="kafka",
            disorder=0.01,
            duplicates=0.001,
            late=self.late,
            lateness_ms=2000,
            ill=0.5,
            profile_file=str(ROOT / "profiles" / "rotating-machine.yaml"),
            minute_after_s=8,
        )


def run(
    settings: Settings, folder: Path, load: Load, disturb: Callable[[], None]
) -> list[Received]:
    """Send, call `disturb` meanwhile, wait for the end; every score as it became visible.

    Asserts that what the system emitted is what an offline computation finds, once.
    """
    watch = ScoreWatch(settings.kafka)
    watch.start()
    load.plan().write(folder / "plan.json")
    files = folder / "plan.json", folder / "due.npy"
    generator = start_module(settings, "benchmarks.generator", *files)
    try:
        disturb()
        output, _ = generator.communicate(timeout=90)
    finally:
        generator.kill()
    done = json.loads(output.splitlines()[-1])
    assert done["accepted"] == done["offered"], f"the log refused frames: {done['reasons']}"
    await_processed(settings, timeout_s=30)
    received = watch.stop()
    report, outcome = check(settings)
    assert report.equal, "\n".join(report.lines())
    samples = load.devices * load.seconds * 200 - len(outcome.late) * FRAME_SAMPLES
    assert outcome.cells >= samples * 6, "every sample is in the log"
    for name in COMPARED:
        assert report.compared[name] > 0, f"the run had no {name} to compare"
    return received
