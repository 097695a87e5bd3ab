"""The recompute controller and its workers on Ray."""

import logging
import sys
import time
from dataclasses import replace
from threading import Event, Thread
from typing import Any, Final

import ray
from ray.exceptions import RayError

from actors.live_hub import NAMESPACE
from actors.recompute import Controller
from actors.recompute_status import RECOMPUTE_NAME
from actors.support import support
from fleetpulse.errors import FleetpulseError
from fleetpulse.recompute.status import RecomputeStatus
from fleetpulse.settings import Settings
from models.onnx_scorer import OnnxScorer

logger = logging.getLogger(__name__)

TURN_S: Final = 0.2
STATUS_S: Final = 1.0
EXPIRE_S: Final = 3600.0
KEPT_DAYS: Final = 7.0
"""Jobs that ended are kept so long for who asks for them."""
BACKOFF_S: Final = 2.0
JOBS_PER_TASK: Final = 256


class RayWorkers:
    """Support tasks, a bounded number at a time. One that dies leaves its lease to expire."""

    def __init__(self, workers_max: int) -> None:
        self._workers_max = workers_max
        self._running: list[Any] = []

    @property
    def free(self) -> bool:
        """Whether another may be started."""
        done, self._running = (
            ray.wait(self._running, num_returns=len(self._running), timeout=0)
            if self._running
            else ([], [])
        )
        for each in done:
            try:
                ray.get(each)
            except RayError as error:
                logger.warning("recompute: a worker ended: %s", str(error).splitlines()[0])
        return len(self._running) < self._workers_max

    def start(self, settings: Settings, topic_id: str) -> None:
        """Begin another."""
        task = ray.remote(_support).options(num_cpus=0, max_retries=0)
        self._running.append(task.remote(settings, topic_id))


def _support(settings: Settings, topic_id: str) -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    return support(settings, topic_id, OnnxScorer(settings.model), jobs_max=JOBS_PER_TASK)


class RecomputeActor:
    """The controller as a Ray actor: one incarnation after the other."""

    def __init__(self, settings: Settings) -> None:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
        self._settings = settings
        self._status = RecomputeStatus(0, 0, 0, 0, 0, 0.0, 0, "has not begun yet")
        self._stopping = Event()
        self._workers = RayWorkers(settings.recompute.workers)
        self._thread = Thread(target=self._live, name="recompute", daemon=True)
        self._thread.start()

    def status(self) -> RecomputeStatus:
        """As of at most a second ago."""
        return self._status

    def stop(self, timeout_s: float) -> bool:
        """End the thread; True if that was done in time."""
        self._stopping.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _live(self) -> None:
        while not self._stopping.is_set():
            try:
                self._incarnate()
            except FleetpulseError as error:
                logger.warning("recompute: begins anew: %s", error)
                self._status = _in_trouble(self._status, str(error))
            except Exception as error:
                logger.exception("recompute: begins anew")
                self._status = _in_trouble(self._status, repr(error))
            self._stopping.wait(BACKOFF_S)

    def _incarnate(self) -> None:
        controller = Controller(self._settings, self._workers)
        told_s = expired_s = 0.0
        try:
            while not self._stopping.is_set():
                controller.collect(TURN_S)
                controller.assign()
                controller.publish()
                now_s = time.monotonic()
                if now_s - told_s > STATUS_S:
                    self._status, told_s = controller.status(), now_s
                if now_s - expired_s > EXPIRE_S:
                    controller.blackboard.expire(KEPT_DAYS)
                    expired_s = now_s
        finally:
            controller.close()


def _in_trouble(status: RecomputeStatus, problem: str) -> RecomputeStatus:
    return replace(status, problem=problem)


def start_recompute(settings: Settings) -> Any:
    """The controller's handle; it lives as long as this is held, and restarts when it dies."""
    actor: Any = ray.remote(RecomputeActor)
    return actor.options(
        name=RECOMPUTE_NAME, namespace=NAMESPACE, num_cpus=0, max_restarts=-1, max_concurrency=4
    ).remote(settings)
