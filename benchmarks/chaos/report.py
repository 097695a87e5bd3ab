"""The chaos suite's table: per fault, how long things stood still, and what was lost or doubled."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.chaos.episode import EpisodeResult
from benchmarks.processes import Usage


@dataclass(frozen=True, slots=True)
class FaultRow:
    """All strikes of one fault. Times in seconds; lost, doubled, wrong: of their episodes.

    standstill: the longest break of committed scores, PostgreSQL or 202s. recovery: its part after
    the fault's cause had ended; all of it for a kill.
    """

    fault: str
    count: int
    standstill_p50_s: float
    standstill_max_s: float
    recovery_p50_s: float
    recovery_max_s: float
    promised_s: float
    lost: int
    doubled: int
    wrong: int


@dataclass(frozen=True, slots=True)
class ChaosReport:
    """The whole run."""

    seed: int
    seconds: float
    samples: int
    answered_frames: int
    compared: dict[str, int]
    faults: list[FaultRow]
    processes: list[Usage]
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


COLUMNS = (
    "fault",
    "count",
    "standstill p50, max",
    "recovery p50, max",
    "promised",
    "lost",
    "doubled",
    "wrong",
)


def cells(row: FaultRow) -> list[str]:
    """A row of the table, as text."""
    return [
        row.fault,
        str(row.count),
        f"{row.standstill_p50_s:.1f}, {row.standstill_max_s:.1f} s",
        f"{row.recovery_p50_s:.1f}, {row.recovery_max_s:.1f} s",
        f"{row.promised_s:g} s",
        str(row.lost),
        str(row.doubled),
        str(row.wrong),
    ]


def report_of(seed: int, results: Sequence[EpisodeResult], processes: list[Usage]) -> ChaosReport:
    """Sum episodes up."""
    problems = [
        f"episode {each.episode.number}: {each.problem}" for each in results if each.problem
    ]
    for result in results:
        problems += [f"episode {result.episode.number}: {line}" for line in result.verdict.lines]
        problems += [
            f"{hit.fault.name}: {hit.standstill.flow} stood still for {hit.recovery_s:.1f} s"
            for hit in result.struck
            if not hit.in_time
        ]
    compared: dict[str, int] = {}
    for result in results:
        for name, count in result.verdict.compared.items():
            compared[name] = compared.get(name, 0) + count
    return ChaosReport(
        seed=seed,
        seconds=sum(result.episode.seconds for result in results),
        samples=sum(result.verdict.samples for result in results),
        answered_frames=sum(result.verdict.answered_frames for result in results),
        compared=compared,
        faults=_rows(results),
        processes=processes,
        problems=problems,
    )


def _rows(results: Sequence[EpisodeResult]) -> list[FaultRow]:
    names = {hit.fault.name: hit.fault for result in results for hit in result.struck}
    rows = []
    for name, fault in names.items():
        mine = [
            (hit, result.verdict)
            for result in results
            for hit in result.struck
            if hit.fault.name == name
        ]
        standstills = [hit.standstill.seconds for hit, _ in mine]
        recoveries = [hit.recovery_s for hit, _ in mine]
        rows.append(
            FaultRow(
                fault=name,
                count=len(mine),
                standstill_p50_s=round(median(standstills), 2),
                standstill_max_s=round(max(standstills), 2),
                recovery_p50_s=round(median(recoveries), 2),
                recovery_max_s=round(max(recoveries), 2),
                promised_s=fault.recovery_max_s,
                lost=sum(verdict.lost for _, verdict in mine),
                doubled=sum(verdict.doubled for _, verdict in mine),
                wrong=sum(verdict.wrong for _, verdict in mine),
            )
        )
    return rows
