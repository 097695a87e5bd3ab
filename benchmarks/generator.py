"""The load, as a process of its own: `python -m benchmarks.generator PLAN.json DUE.npy`.

It prints one line of JSON when it begins and one when it is done, and stores when each frame was
due and when it was sent, int64 [2, devices, frames], epoch microseconds; over HTTP also, beside
that file, which frames were answered 202 and when. Frames are made ahead by a thread, so that
making them does not delay sending them: a few rounds, or as many as the plan has memory for before
the load begins.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np

from adapters.kafka.controls import publish
from benchmarks.accepted import AcceptedFrames
from benchmarks.plan import LoadPlan
from fleetpulse.effects import I64
from fleetpulse.settings import Settings, load_settings
from simulator.fleet import Fleet
from simulator.framing import Frames
from simulator.targets.http import HttpTarget
from simulator.targets.kafka import KafkaTarget
from simulator.targets.target import Target

_AHEAD_ROUNDS = 5
_LEAD_US = 1_500_000
_TRIED_ROUNDS = 3
_FRAME_BYTES = 120
"""Of a frame's objects, beside its bytes."""
_MAKING_RESERVE = 1.5
"""Making is slower than it was when tried, on a machine that does other things too."""
_CLOSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Begun:
    """Where and when the fleet begins, in event time."""

    start_us: int


@dataclass(frozen=True, slots=True)
class Done:
    """What was sent, in samples. late_ms_max: how far the generator itself fell behind."""

    offered: int
    accepted: int
    reasons: dict[str, int]
    """Why samples were not accepted."""
    seconds: float
    late_ms_max: float
    reordered: int
    duplicated: int


def main(plan: LoadPlan, due_file: Path) -> Done:
    """Send the fleet's frames when they are due."""
    settings = load_settings()
    publish(settings.kafka, [plan.profile], [plan.assignment])
    if plan.at_a_word:
        print(json.dumps({"ready": True}), flush=True)
        sys.stdin.readline()
    ahead_rounds, making_s = _ahead(plan)
    start_us = time.time_ns() // 1000 + _LEAD_US + round(making_s * 1e6)
    plan = plan.begun_at(start_us)
    fleet = plan.fleet(start_us=start_us - plan.behind_us)
    answers = AcceptedFrames()
    target = _target(plan, fleet, settings, answers)
    rounds: Queue[Frames | None] = Queue(ahead_rounds)
    maker = Thread(target=_make, args=(fleet, plan.rounds, rounds), daemon=True)
    maker.start()
    print(json.dumps(asdict(Begun(fleet.start_us))), flush=True)
    due_us, sent_us = np.full((2, plan.devices, plan.rounds), np.iinfo(np.int64).max)
    late_us = 0
    while (frames := rounds.get()) is not None:
        begun_us, late = _send(target, frames, plan)
        late_us = max(late_us, late)
        of = frames.device, frames.sequence
        np.minimum.at(due_us, of, frames.due_us + plan.behind_us)
        np.minimum.at(sent_us, of, begun_us)
    seconds = (time.time_ns() // 1000 - fleet.start_us - plan.behind_us) / 1e6
    target.close(_CLOSE_S)
    np.save(due_file, np.stack((due_us, sent_us)))
    answers.save(due_file)
    counts = target.tally.counts()
    return Done(
        offered=counts.sent,
        accepted=counts.accepted,
        reasons=counts.reasons,
        seconds=round(seconds, 3),
        late_ms_max=late_us / 1000,
        reordered=fleet.transport_truth.reordered,
        duplicated=fleet.transport_truth.duplicated,
    )


def _ahead(plan: LoadPlan) -> tuple[int, float]:
    """Rounds that are made ahead, and the seconds that it takes to make them before the begin."""
    if not plan.ahead_mb:
        return _AHEAD_ROUNDS, 0.0
    fleet = plan.fleet(start_us=0)
    begun_s = time.perf_counter()
    tried = [fleet.frames(number) for number in range(_TRIED_ROUNDS)]
    round_s = (time.perf_counter() - begun_s) / _TRIED_ROUNDS
    round_bytes = max(sum(map(len, each.values)) + len(each) * _FRAME_BYTES for each in tried)
    rounds = max(_AHEAD_ROUNDS, min(plan.rounds, (plan.ahead_mb << 20) // round_bytes))
    return rounds, _MAKING_RESERVE * round_s * rounds


def _target(plan: LoadPlan, fleet: Fleet, settings: Settings, answers: AcceptedFrames) -> Target:
    if plan.via == "kafka":
        return KafkaTarget(settings.kafka, frame_samples=plan.frame_samples)
    return HttpTarget(
        plan.url,
        fleet.device_ids,
        fleet.gateways,
        frame_samples=plan.frame_samples,
        accepted=answers.add,
    )


def _make(fleet: Fleet, count: int, rounds: "Queue[Frames | None]") -> None:
    for number in range(count):
        rounds.put(fleet.frames(number))
    if rest := fleet.remaining():
        rounds.put(rest)
    rounds.put(None)


def _send(target: Target, frames: Frames, plan: LoadPlan) -> tuple[I64, int]:
    """Send each frame when it is due; returns when each was, and how late the latest was."""
    due_us: I64 = frames.due_us + plan.behind_us
    sent_us = np.empty_like(due_us)
    begin = late_us = 0
    while begin < len(frames):
        now_us = time.time_ns() // 1000
        end = int(np.searchsorted(due_us, now_us, side="right"))
        if end == begin:
            time.sleep(plan.gather_ms / 1000)
            continue
        late_us = max(late_us, now_us - int(due_us[begin]))
        sent_us[begin:end] = now_us
        target.send(frames.part(begin, end))
        begin = end
    return sent_us, late_us


if __name__ == "__main__":
    done = main(LoadPlan.read(Path(sys.argv[1])), Path(sys.argv[2]))
    print(json.dumps(asdict(done)), flush=True)
