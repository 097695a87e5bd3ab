"""Starts and stops both applications on one port of the Ray cluster this process is connected to.

The cluster must have been started with `serve_apps.environment.serve_environment`.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any, Final, NamedTuple

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus, LoggingConfig

from fleetpulse.errors import SetupError
from fleetpulse.settings import HttpSettings, Settings
from serve_apps.environment import socket_folder
from serve_apps.ingest.app import PATH
from serve_apps.ingest.replica import IngestReplica
from serve_apps.lean_controller import CONTROLLER, CONTROLLER_NAMESPACE, without_spare_proxy
from serve_apps.query.replica import QueryReplica

INGEST: Final = "ingest"
QUERY: Final = "query"
REQUESTS_MAX: Final = 10_000
"""Requests and sockets of one replica at a time; a socket counts as long as it is open."""
HEALTH_CHECK_PERIOD_S: Final = 1.0
START_TIMEOUT_S: Final = 150.0
POLL_S: Final = 0.1
STOP_TIMEOUT_S: Final = 2.0
"""For a replica to end what it does."""

_LOGGING: Final = LoggingConfig(log_level="WARNING", enable_access_log=False)


class Target(NamedTuple):
    """An application: its deployment's class, made with the settings, and where it answers."""

    replica: Any
    name: str
    route: str
    replicas: int


def ingest_target(settings: Settings) -> Target:
    """The way in."""
    return Target(IngestReplica, INGEST, PATH, settings.http.ingest_replicas)


def query_target(settings: Settings) -> Target:
    """API and page: whatever is not the ingest's."""
    return Target(QueryReplica, QUERY, "/", settings.http.query_replicas)


def serve_targets(settings: Settings) -> list[Target]:
    """All there is; the ingest first."""
    return [ingest_target(settings), query_target(settings)]


class ServeStart:
    """Serve's controller and HAProxy while they start. `serve.start` waits for both, in a thread:
    who deploys as soon as there is a controller has replicas that start beside HAProxy.
    """

    def __init__(self, http: HttpSettings) -> None:
        self._options = HTTPOptions(host=http.host, port=http.port)
        self._started: Future[None] = Future()
        Thread(target=self._start, name="serve-start", daemon=True).start()

    def _start(self) -> None:
        try:
            with without_spare_proxy():
                serve.start(http_options=self._options, logging_config=_LOGGING)
        except Exception as error:  # noqa: BLE001  # whoever waits hears it
            self._started.set_exception(error)
        else:
            self._started.set_result(None)

    def await_controller(self) -> None:
        """Until it can be found; then `run_many` uses it instead of starting one of its own."""
        while not self._started.done():
            try:
                ray.get_actor(CONTROLLER, namespace=CONTROLLER_NAMESPACE)
            except ValueError:
                time.sleep(POLL_S)
            else:
                return
        self.await_proxy()  # otherwise `run_many` would start a Serve with settings of its own

    def await_proxy(self) -> None:
        """Until HAProxy runs; raises what `serve.start` did."""
        self._started.result(START_TIMEOUT_S)

    def settle(self, timeout_s: float) -> None:
        """Until `serve.start` has ended in one way or the other, or the time is over."""
        wait([self._started], timeout_s)


def deploy(
    settings: Settings, targets: Sequence[Target], serve_start: ServeStart, *, in_turn: bool = False
) -> None:
    """Deploy these and wait until all answer; raises SetupError.

    `in_turn`: each when the one before runs, which is sooner for the first on a busy machine.
    """
    steps = [[each] for each in targets] if in_turn else [targets]
    try:
        serve_start.await_controller()
        for step in steps:
            run = [_run_target(each, settings) for each in step]
            serve.run_many(run, wait_for_applications_running=False)
            _await_running([each.name for each in step])
        serve_start.await_proxy()
        client: Any = _get_global_client()
        client.wait_for_proxies_serving()
    except (RayError, RayServeException, RuntimeError, TimeoutError) as error:
        raise SetupError(
            f"Serve did not start: {str(error).splitlines()[0][:300]}",
            remedy="see `serve` in Ray's logs",
        ) from error


def _await_running(names: Sequence[str]) -> None:
    """Raises RuntimeError if one failed. Serve's own way to wait asks once a second."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        applications = serve.status().applications
        found = [applications[name] for name in names if name in applications]
        for each in found:
            if each.status == ApplicationStatus.DEPLOY_FAILED:
                raise RuntimeError(each.message)
        if sum(each.status == ApplicationStatus.RUNNING for each in found) == len(names):
            return
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not running after {START_TIMEOUT_S:g} s: {', '.join(names)}")
        time.sleep(POLL_S)


def drain_ingest(timeout_s: float) -> bool:
    """Let every ingest replica refuse what comes; True once what was accepted is durable."""
    try:
        answers = serve.get_app_handle(INGEST).broadcast("drain", timeout_s)
        return all(answers.results(timeout_s=timeout_s + 1.0))
    except (RayServeException, TimeoutError):
        return False


def stop_serve(http: HttpSettings) -> None:
    """End both applications, Serve's own actors and HAProxy. Drain first."""
    shutdown: Callable[[], None] = serve.shutdown
    shutdown()
    shutil.rmtree(socket_folder(http), ignore_errors=True)


def _run_target(target: Target, settings: Settings) -> serve.RunTarget:
    deployment: Any = serve.deployment(
        target.replica,
        name=target.name,
        num_replicas=target.replicas,
        max_ongoing_requests=REQUESTS_MAX,
        ray_actor_options={"num_cpus": 0.1},
        # A replica that died is noticed by its next check: every 10 s by default.
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
        graceful_shutdown_timeout_s=STOP_TIMEOUT_S,
        graceful_shutdown_wait_loop_s=0.1,
    )
    return serve.RunTarget(
        deployment.bind(settings),
        name=target.name,
        route_prefix=target.route,
        logging_config=_LOGGING,
    )
