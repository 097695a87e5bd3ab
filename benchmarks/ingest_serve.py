"""Broker, Ray and Serve with the ingest and the bound beside it, until standard input ends.

A process of its own, because Ray and Serve read their environment when they are imported.
"""

import sys

from adapters.kafka.admin import KafkaAdmin
from benchmarks.ingest_bound import BoundReplica
from devstack import fork_server
from devstack.kafka_server import KafkaServer
from devstack.profiles import publish_profiles
from devstack.ray_node import fork_server_of, start_ray, stop_ray
from fleetpulse.settings import load_settings
from serve_apps.deploy import ServeStart, Target, deploy, ingest_target, stop_serve

BOUND = "bound"


def main() -> int:
    """Say "ready" in between."""
    settings = load_settings()
    folder = settings.data_folder
    broker = KafkaServer(settings.kafka, folder / "kafka")
    try:
        broker.start()
        KafkaAdmin(settings.kafka).create_topics()
        publish_profiles(settings)
        start_ray(settings.ray, folder)
        bound = Target(BoundReplica, BOUND, f"/{BOUND}", 1)
        deploy(settings, [ingest_target(settings), bound], ServeStart(settings.http))
        print("ready", flush=True)
        sys.stdin.read()
        stop_serve(settings.http)
    finally:
        stop_ray(settings.ray, folder)
        broker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(fork_server.run(fork_server_of(load_settings().data_folder), main))
