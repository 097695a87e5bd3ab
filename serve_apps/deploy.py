"""Starts and stops both applications on one port of the Ray cluster this process is connected to.

The cluster must have been started with `serve_apps.environment.serve_environment`.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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


def start_serve(settings: Settings, *, in_turn: bool = False) -> None:
    """Deploy ingest and query and wait until both answer; raises SetupError."""
    deploy(settings, [ingest_target(settings), query_target(settings)], in_turn=in_turn)


def deploy(settings: Settings, targets: Sequence[Target], *, in_turn: bool = False) -> None:
    """Deploy these and wait until all answer; raises SetupError.

    `in_turn`: each when the one before runs, which is sooner for the first on a busy machine.
    """
    logging = LoggingConfig(log_level="WARNING", enable_access_log=False)
    steps = [[each] for each in targets] if in_turn else [targets]
    try:
        with ThreadPoolExecutor(1) as beside:
            started = beside.submit(_start, settings.http, logging)
            _await_controller(started)
            for step in steps:  # HAProxy starts meanwhile
                run = [_run_target(each, settings, logging) for each in step]
                serve.run_many(run, wait_for_applications_running=False)
                _await_running([each.name for each in step])
            started.result()
        client: Any = _get_global_client()
        client.wait_for_proxies_serving()
    except (RayError, RayServeException, RuntimeError, TimeoutError) as error:
        raise SetupError(
            f"Serve did not start: {str(error).splitlines()[0][:300]}",
            remedy="see `serve` in Ray's logs",
        ) from error


def _start(http: HttpSettings, logging: LoggingConfig) -> None:
    """Returns when HAProxy runs."""
    with without_spare_proxy():
        options = HTTPOptions(host=http.host, port=http.port)
        serve.start(http_options=options, logging_config=logging)


def _await_controller(started: "Future[None]") -> None:
    """Until it can be found; then `run_many` uses it instead of starting one of its own."""
    while not started.done():
        try:
            ray.get_actor(CONTROLLER, namespace=CONTROLLER_NAMESPACE)
        except ValueError:
            time.sleep(POLL_S)
        else:
            return


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


def _run_target(target: Target, settings: Settings, logging: LoggingConfig) -> serve.RunTarget:
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
        logging_config=logging,
    )
