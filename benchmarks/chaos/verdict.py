"""Whether an episode lost or doubled anything."""

from collections import Counter
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from benchmarks.check import check
from benchmarks.topics import Span, read_log
from fleetpulse.settings import Settings
from fleetpulse.telemetry_pb2 import SampleBlock

_LINES_MAX = 40


@dataclass(frozen=True, slots=True)
class Verdict:
    """lost: results that are missing, and answered frames that the log does not have.

    wrong: results that differ or that nothing explains. samples: distinct, in all rollups.
    """

    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    answered_frames: int = 0
    samples: int = 0
    compared: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


def judge(settings: Settings, span: Span, answered: AbstractSet[tuple[bytes, int]]) -> Verdict:
    """answered: (device, time of the first sample in µs) of each frame that got a 202."""
    frames = _frames_of(settings, span, {key for key, _ in answered})
    report, outcome = check(settings, span=span)
    refused = sorted((outcome.dead.keys() | outcome.late) & frames.keys())
    missing = sorted(answered - set(frames.values()))
    lines = [f"missing: frame of {key.decode()} at {at_us}" for key, at_us in missing]
    lines += [f"missing: frame {frames[at]}, answered 202, was refused" for at in refused]
    lost = len(lines)
    kinds = Counter(found.kind for each in report.findings.values() for found in each)
    lines += [str(found) for each in report.findings.values() for found in each]
    return Verdict(
        lost=lost + kinds["missing"],
        doubled=kinds["doubled"],
        wrong=kinds["different"] + kinds["unexpected"],
        answered_frames=len(answered),
        samples=outcome.samples,
        compared=report.compared,
        lines=lines[:_LINES_MAX],
    )


def _frames_of(
    settings: Settings, span: Span, keys: AbstractSet[bytes]
) -> dict[tuple[int, int], tuple[bytes, int]]:
    """(partition, offset) -> the frame, of these devices."""
    log, _ = read_log(settings.kafka, span)
    return {
        (partition, record.offset): (record.key, SampleBlock.FromString(record.value).t0_us)
        for partition, records in log.items()
        for record in records
        if record.key in keys
    }
