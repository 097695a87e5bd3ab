"""The final report of a run: what was sent, what became of it, what was noticed."""

from dataclasses import asdict, dataclass
from typing import Any

from simulator.fleet import Fleet
from simulator.pacing import Run
from simulator.tally import Counts
from simulator.transport import TransportTruth
from simulator.verdict import Illness, Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """verdict: None when alerts could not be asked for; `verdict_missing` says why."""

    devices: int
    run: Run
    counts: Counts
    transport: TransportTruth
    verdict: Verdict | None
    verdict_missing: str = ""

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        verdict = self.verdict
        return {
            "devices": self.devices,
            "seconds": round(self.run.seconds, 3),
            "rounds": self.run.rounds,
            "behind_ms_max": round(self.run.behind_ms_max, 3),
            "samples": {
                "sent": self.counts.sent,
                "accepted": self.counts.accepted,
                "refused": self.counts.refused,
                "failed": self.counts.failed,
            },
            "reasons": self.counts.reasons,
            "retries": self.counts.retries,
            "latency_ms": self.counts.latency_ms,
            "transport": asdict(self.transport),
            "faults": None
            if verdict is None
            else {
                kind: {**asdict(found), "missed": found.missed}
                for kind, found in verdict.kinds.items()
            },
            "alerts": None if verdict is None else verdict.alerts,
            "false_alerts": None if verdict is None else len(verdict.false_alerts),
            "verdict_missing": self.verdict_missing,
        }

    def to_text(self) -> str:
        """For people."""
        counts, run = self.counts, self.run
        rate = counts.sent / run.seconds if run.seconds else 0.0
        outcome = (
            f"{self.devices} devices, {run.seconds:.1f} s: {counts.sent:,} samples sent "
            f"({rate:,.0f}/s), {counts.accepted:,} accepted, {counts.refused:,} refused, "
            f"{counts.failed:,} failed"
        )
        lines = [outcome]
        lines += [f"  {number} × {reason}" for reason, number in counts.reasons.items()]
        if counts.latency_ms:
            steps = ", ".join(f"{name} {ms:g} ms" for name, ms in counts.latency_ms.items())
            lines.append(f"acknowledged within {steps} ({counts.retries} requests were repeated)")
        touched = {name: number for name, number in asdict(self.transport).items() if number}
        if touched:
            frames = ", ".join(f"{number} {name}" for name, number in touched.items())
            lines.append(f"frames on the way: {frames}")
        return "\n".join(lines + self._verdict_lines())

    def _verdict_lines(self) -> list[str]:
        if self.verdict is None:
            return [f"alerts: unknown ({self.verdict_missing})"]
        lines = [f"alerts: {self.verdict.alerts}, false: {len(self.verdict.false_alerts)}"]
        for kind, found in self.verdict.kinds.items():
            after = "" if found.seconds_p50 is None else f", median {found.seconds_p50:g} s"
            lines.append(f"  {kind}: {found.met} of {found.begun} met{after}")
        return lines


def illnesses(fleet: Fleet, rounds: int, noticeable_samples: int) -> list[Illness]:
    """What happened in these rounds, in event time."""
    end = rounds * fleet.spec.frame_samples
    return [
        Illness(
            device_id=fleet.device_ids[episode.device],
            kind=str(episode.fault),
            start_us=fleet.time_us(episode.device, episode.first_sample),
            end_us=fleet.time_us(episode.device, min(episode.end_sample, end)),
            noticeable=episode.first_sample + noticeable_samples <= end,
        )
        for episode in fleet.episodes(rounds)
    ]
