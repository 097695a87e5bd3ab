"""Episodes are judged in a process of its own while the next one is under way."""

import multiprocessing
import os
import time
from multiprocessing.pool import AsyncResult
from types import TracebackType
from typing import Final, Self

import psycopg
from confluent_kafka import KafkaException

from benchmarks.chaos.episode import Case, EpisodeResult
from benchmarks.chaos.verdict import Verdict, judge
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import Settings

NICENESS: Final = 10
"""Judging is not part of the load."""
PATIENCE_S: Final = 240.0
"""The next fault may strike what is read."""
_PAUSE_S: Final = 2.0
_JUDGED_S: Final = 600.0


class Judging:
    """At most one case is being judged; owns the process that does it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = multiprocessing.get_context("spawn").Pool(1, os.nice, (NICENESS,))
        self._case: Case | None = None
        self._answer: AsyncResult[EpisodeResult] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.terminate()
        self._pool.join()

    def begin(self, case: Case) -> EpisodeResult | None:
        """Judge this one from now on; answers the one before, once it is judged."""
        result = self.finish()
        self._case = case
        self._answer = self._pool.apply_async(judged, (self._settings, case))
        return result

    def finish(self) -> EpisodeResult | None:
        """Wait for the case under way, if there is one."""
        case, answer, self._case, self._answer = self._case, self._answer, None, None
        if case is None or answer is None:
            return None
        try:
            return answer.get(_JUDGED_S)
        except multiprocessing.TimeoutError:
            problem = f"was not judged within {_JUDGED_S:g} s"
            return EpisodeResult(case.episode, case.struck, Verdict(), problem)


def judged(settings: Settings, case: Case) -> EpisodeResult:
    """In the process: again while what it reads is away."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            verdict = judge(settings, case.span, case.answered)
        except (FleetpulseError, KafkaException, psycopg.Error) as error:
            if time.monotonic() > deadline_s:
                problem = f"could not be judged: {error}"
                return EpisodeResult(case.episode, case.struck, Verdict(), problem)
            time.sleep(_PAUSE_S)
        else:
            return EpisodeResult(case.episode, case.struck, verdict)
