"""The Serve deployment of the query side: real adapters around the application."""

import logging

from fastapi import FastAPI
from ray import serve

from actors.fleet import connect
from actors.recompute_status import recompute_status
from adapters.kafka.device_controls import DeviceControls
from adapters.postgres.jobs import PostgresJobs
from adapters.postgres.partition_pauses import PostgresPartitionPauses
from adapters.postgres.reads import PostgresReads
from fleetpulse.errors import ConfigError
from fleetpulse.settings import Settings
from serve_apps.live.mirror import LiveMirror
from serve_apps.query.app import build_query_app
from serve_apps.query.checks import BrokerCheck, IngestCheck, check_hub
from serve_apps.query.health import Check, HealthService
from serve_apps.query.operations import Operations
from serve_apps.query.service import QueryService
from serve_apps.replica_on_loopback import bind_replica_to_loopback


def query_app(settings: Settings) -> FastAPI:
    """The application on real parts; needs a process that is connected to Ray."""
    if settings.postgres.dsn is None:
        raise ConfigError("FLEETPULSE_POSTGRES__DSN: the query side needs it")
    dsn = settings.postgres.dsn.get_secret_value()
    reads = PostgresReads(dsn)
    jobs = PostgresJobs(dsn, partitions=settings.kafka.partitions)
    fleet = connect(settings)
    ingest = IngestCheck(settings.http)
    checks: dict[str, Check] = {
        "database": reads.ping,
        "broker": BrokerCheck(settings.kafka),
        "live_hub": check_hub,
        "ingest": ingest,
    }
    health = HealthService(
        checks,
        fleet.status,
        settings.kafka.partitions,
        lambda: ingest.causes,
        recompute=recompute_status,
        replay_budget_s=settings.snapshot.replay_budget_s,
    )
    operations = Operations(
        reads,
        DeviceControls(settings.kafka),
        PostgresPartitionPauses(dsn),
        settings.kafka.partitions,
    )
    service = QueryService(reads, fleet, settings.shard.stale_after_s)
    return build_query_app(service, health, LiveMirror(reads), operations, jobs)


@serve.ingress()
class QueryReplica:
    """One process of the query side."""

    def __init__(self, settings: Settings) -> None:
        bind_replica_to_loopback()
        logging.getLogger("fleetpulse").setLevel(logging.INFO)
        self._settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Serve asks for the application after the constructor."""
        return query_app(self._settings)
