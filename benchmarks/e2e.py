"""One measured run: a fleet in real time against a whole stack, watched from outside."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.alert_watch import AlertWatch
from benchmarks.check import await_processed, check
from benchmarks.child import said, start_module
from benchmarks.disturb import Disturbance
from benchmarks.figures import Seen, Sent, measured, notes_of, steady_us
from benchmarks.lag_watch import LagWatch
from benchmarks.limit_run import measure_limit
from benchmarks.neighbours import Neighbours, unnamed
from benchmarks.plan import LoadPlan
from benchmarks.processes import ProcessWatch
from benchmarks.report import Run
from benchmarks.score_watch import ScoreWatch
from benchmarks.stack import MeasuredStack
from benchmarks.stages import stages
from benchmarks.steadiness import is_flat
from benchmarks.villains import villains
from benchmarks.windows import SentFleet, Tally, WindowLedger
from devstack.processes import STACK_VARIABLE
from fleetpulse.errors import RetryLater

_AFTERWARDS_S = 60.0
_POLL_S = 0.25
_VIEWS_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is, for whoever looks."""

    elapsed_s: float
    scores: int
    alerts: int
    lag_messages: int


@dataclass(frozen=True, slots=True)
class Options:
    """kill_shard_at_s: `kill -9` of a shard so long after the start. villains_at_s: devices that
    misbehave join then, and the others must not notice. checked: against the log.

    memory_flat: nothing may grow from the middle third of the run to the last. limited: the bare
    loop runs on the same records.
    """

    kill_shard_at_s: float | None = None
    villains_at_s: float | None = None
    checked: bool = False
    memory_flat: bool = False
    limited: bool = True


@dataclass(slots=True)
class _Watches:
    """Everything that looks at the stack from outside."""

    processes: ProcessWatch
    scores: ScoreWatch
    alerts: AlertWatch
    lag: LagWatch

    @classmethod
    def start(cls, stack: MeasuredStack, plan: LoadPlan) -> "_Watches":
        kafka = stack.settings.kafka
        watches = cls(
            ProcessWatch(STACK_VARIABLE, stack.stack_id),
            ScoreWatch(kafka),
            AlertWatch(stack, plan.prefix),
            LagWatch(kafka),
        )
        watches.alerts.start()
        watches.scores.start()
        watches.lag.start()
        return watches

    def stop(self) -> Seen:
        """End watching."""
        received, alerts = self.scores.stop(), self.alerts.stop()
        return Seen(received, alerts, self.processes.stop(), self.lag.stop())

    def progress(self, elapsed_s: float) -> Progress:
        lag = self.lag.messages[-1] if self.lag.messages else 0
        return Progress(elapsed_s, self.scores.count, self.alerts.count, lag)


def run(
    stack: MeasuredStack,
    plan: LoadPlan,
    options: Options,
    *,
    on_progress: Callable[[Progress], None],
    on_check: Callable[[int, int], None],
) -> Run:
    """Load, watch, count; then the bare loop on the same records, and the comparison."""
    watches = _Watches.start(stack, plan)
    sent = _load(stack, plan, options, watches, on_progress)
    problems = []
    try:
        await_processed(stack.settings, _AFTERWARDS_S)
    except RetryLater as error:
        problems.append(str(error))
    seen = watches.stop()
    limit = measure_limit(stack.settings, plan) if options.limited else None
    crowd = villains(plan) if sent.joined_us else {}
    scored = [(each.key, each.start_us) for each in seen.received if each.key not in crowd]
    tally = sent.ledger.tally(scored)
    from_us = steady_us(plan, sent.start_us)
    folder = stack.settings.shard.trace_folder
    passed = stages(folder, sent.ledger, seen.received, seen.alerts, from_us=from_us)
    run = Run(measured(plan, sent, tally, seen, limit, passed), problems=problems)
    run.notes += notes_of(plan, sent, seen)
    run.problems += _problems(sent, seen, tally)
    if sent.joined_us:
        others = Neighbours.of(seen.received, sent.ledger, from_us, sent.joined_us)
        (run.problems if others.harmed else run.notes).append(others.words())
        run.problems += [f"/health does not name {each}" for each in unnamed(stack.page, crowd)]
    if options.memory_flat:
        run.problems += [
            f"memory grows: {each.name}, by thirds of the run {each.memory_thirds_mb} MB"
            for each in seen.usages
            if not is_flat(each.memory_thirds_mb)
        ]
    if options.checked:
        report, _ = check(stack.settings, progress=on_check)
        (run.notes if report.equal else run.problems).extend(report.lines())
    return run


def _problems(sent: Sent, seen: Seen, tally: Tally) -> list[str]:
    """Why a run is no success, whatever it was for."""
    found = []
    if tally.lost or tally.doubled or tally.unexpected:
        found.append(
            f"{tally.lost} windows lost, {tally.doubled} doubled, {tally.unexpected} unexpected"
        )
    if sent.done["accepted"] != sent.done["offered"]:
        found.append(f"not everything was accepted: {sent.done['reasons']}")
    if unseen := sum(each.received_us is None for each in seen.alerts):
        found.append(f"{unseen} alerts were not seen on the WebSocket")
    return found


def _load(
    stack: MeasuredStack,
    plan: LoadPlan,
    options: Options,
    watches: _Watches,
    on_progress: Callable[[Progress], None],
) -> Sent:
    folder = stack.settings.data_folder
    plan_file, due_file = folder / "bench-plan.json", folder / "bench-due.npy"
    plan.write(plan_file)
    generator = start_module(
        stack.settings,
        "benchmarks.generator",
        plan_file,
        due_file,
        stack_id=stack.stack_id,
    )
    views = None
    disturbance = Disturbance(
        stack, plan_file, watches.processes, options.kill_shard_at_s, options.villains_at_s
    )
    try:
        assert generator.stdout is not None
        start_us = said(generator, generator.stdout.readline())["start_us"]
        begins_s = (start_us + plan.behind_us) / 1e6
        time.sleep(max(0.0, begins_s - time.time()))
        watches.processes.start()
        views = start_module(
            stack.settings, "benchmarks.handle_watch", plan_file, stack_id=stack.stack_id
        )
        while generator.poll() is None:
            elapsed_s = time.time() - begins_s
            disturbance.look(elapsed_s)
            on_progress(watches.progress(elapsed_s))
            time.sleep(_POLL_S)
        done = said(generator, generator.stdout.read().strip().split("\n")[-1])
        views_us = said(views, views.communicate(timeout=_VIEWS_TIMEOUT_S)[0])["latencies_us"]
    finally:
        disturbance.close()
        for process in filter(None, (generator, views)):
            process.kill()
            process.wait(5)
    fleet = plan.fleet(start_us=start_us)
    first_us = np.array([fleet.time_us(device, 0) for device in range(plan.devices)])
    due_us, sent_us = np.load(due_file)
    ledger = WindowLedger(
        plan.profile, SentFleet(fleet.keys, first_us, due_us, sent_us, plan.frame_samples)
    )
    return Sent(start_us, done, ledger, disturbance.killed_us, views_us, disturbance.joined_us)
