"""The chaos suite: a stack of three brokers, and one episode after the other on it."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.chaos.episode import EpisodeRun, Say
from benchmarks.chaos.report import ChaosReport, report_of
from benchmarks.chaos.schedule import Episode
from benchmarks.chaos.stack import chaos_stack
from benchmarks.plan import LoadPlan
from benchmarks.processes import ProcessWatch
from devstack.processes import STACK_VARIABLE
from devstack.state import StackState
from fleetpulse.settings import Settings


def run_chaos(
    settings: Settings,
    episodes: Sequence[Episode],
    load: LoadPlan,
    *,
    seed: int,
    on_start: Callable[[StackState], None],
    say: Say,
) -> ChaosReport:
    """Run all episodes; what they found. The stack ends with it."""
    results = []
    with chaos_stack(settings, on_start) as stack:
        watch = ProcessWatch(STACK_VARIABLE, stack.stack_id)
        watch.start()
        for episode in episodes:
            names = ", ".join(fault.name for fault in episode.faults)
            say(f"episode {episode.number} of {len(episodes)}: {names}")
            result = EpisodeRun(stack, episode, replace(load, run=secrets.token_hex(2)), say).run()
            results.append(result)
            for hit in result.struck:
                say(
                    f"{hit.fault.name}: {hit.standstill.flow or 'nothing'} stood still for"
                    f" {hit.standstill.seconds:.1f} s, {hit.recovery_s:.1f} s after its cause"
                )
            verdict = result.verdict
            say(
                result.problem
                or f"{verdict.lost} lost, {verdict.doubled} doubled, {verdict.wrong} wrong"
                f" of {verdict.samples:,} samples"
            )
        return report_of(seed, results, watch.stop())
