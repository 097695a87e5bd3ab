"""The chaos suite: a stack of three brokers, and one episode after the other on it."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from benchmarks.chaos.episode import Case, EpisodeResult, EpisodeRun, Say
from benchmarks.chaos.judging import Judging
from benchmarks.chaos.report import ChaosReport, report_of
from benchmarks.chaos.schedule import Episode
from benchmarks.chaos.stack import chaos_stack
from benchmarks.plan import LoadPlan
from benchmarks.processes import ProcessWatch
from benchmarks.stack import MeasuredStack
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
    with chaos_stack(settings, on_start) as stack, Judging(stack.settings) as judging:
        watch = ProcessWatch(STACK_VARIABLE, stack.stack_id)
        watch.start()
        results = list(_results(stack, judging, episodes, load, say))
        return report_of(seed, results, watch.stop())


def _results(
    stack: MeasuredStack,
    judging: Judging,
    episodes: Sequence[Episode],
    load: LoadPlan,
    say: Say,
) -> Iterator[EpisodeResult]:
    """Each episode's, once it is judged, which happens while the next one runs."""
    for episode in episodes:
        names = ", ".join(fault.name for fault in episode.faults)
        say(f"episode {episode.number} of {len(episodes)}: {names}")
        ran = EpisodeRun(stack, episode, replace(load, run=secrets.token_hex(2)), say).run()
        for hit in ran.struck:
            say(
                f"{hit.fault.name}: {hit.standstill.flow or 'nothing'} stood still for"
                f" {hit.standstill.seconds:.1f} s, {hit.recovery_s:.1f} s after its cause"
            )
        before = judging.begin(ran) if isinstance(ran, Case) else judging.finish()
        if before:
            yield _said(before, say)
        if isinstance(ran, EpisodeResult):
            yield _said(ran, say)
    last = judging.finish()
    if last:
        yield _said(last, say)


def _said(result: EpisodeResult, say: Say) -> EpisodeResult:
    verdict = result.verdict
    say(
        f"episode {result.episode.number}: "
        + (
            result.problem
            or f"{verdict.lost} lost, {verdict.doubled} doubled, {verdict.wrong} wrong"
            f" of {verdict.samples:,} samples"
        )
    )
    return result
