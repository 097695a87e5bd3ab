"""Starts and stops both applications on one port of the Ray cluster this process is connected to.

The cluster must have been started with `serve_apps.environment.serve_environment`.
"""

import shutil
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions
from ray.serve.exceptions import RayServeException
from ray.serve.schema import LoggingConfig

from fleetpulse.errors import SetupError
from fleetpulse.settings import HttpSettings, Settings
from serve_apps.environment import socket_folder
from serve_apps.ingest.app import PATH
from serve_apps.ingest.replica import IngestReplica
from serve_apps.query.replica import QueryReplica

INGEST: Final = "ingest"
QUERY: Final = "query"
REQUESTS_MAX: Final = 10_000
"""Requests and sockets of one replica at a time; a socket counts as long as it is open."""
HEALTH_CHECK_PERIOD_S: Final = 1.0
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


def start_serve(settings: Settings) -> None:
    """Deploy ingest and query and wait until both answer; raises SetupError."""
    deploy(settings, [ingest_target(settings), query_target(settings)])


def deploy(settings: Settings, targets: Sequence[Target]) -> None:
    """Deploy these and wait until all answer; raises SetupError."""
    http = settings.http
    logging = LoggingConfig(log_level="WARNING", enable_access_log=False)
    try:
        options = HTTPOptions(host=http.host, port=http.port)
        serve.start(http_options=options, logging_config=logging)
        serve.run_many([_run_target(each, settings, logging) for each in targets])
    except (RayError, RuntimeError, TimeoutError) as error:
        raise SetupError(
            f"Serve did not start: {str(error).splitlines()[0][:300]}",
            remedy="see `serve` in Ray's logs",
        ) from error


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
