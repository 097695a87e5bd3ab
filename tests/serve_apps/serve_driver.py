"""Runs shards and Serve until its standard input ends; a process of its own, because Ray and Serve
read their environment when they are imported.
"""

import sys
import time

from actors.supervisor import Shards
from devstack import fork_server
from devstack.profiles import publish_profiles
from devstack.ray_node import fork_server_of, start_ray, stop_ray
from fleetpulse.settings import load_settings
from serve_apps.deploy import ServeStart, deploy, drain_ingest, serve_targets, stop_serve


def main() -> int:
    settings = load_settings()
    publish_profiles(settings)
    start_ray(settings.ray, settings.data_folder)
    shards = Shards(settings, settings.shard.count)
    shards.start()
    try:
        deploy(settings, serve_targets(settings), ServeStart(settings.http))
        shards.await_ready(30)
        shards.complete()
        print("ready", flush=True)
        sys.stdin.read()
        began = time.monotonic()
        print("drained", drain_ingest(5), flush=True)
        stop_serve(settings.http)
        print("stopped", time.monotonic() - began, flush=True)
    finally:
        shards.stop()
        stop_ray(settings.ray, settings.data_folder)
    return 0


if __name__ == "__main__":
    sys.exit(fork_server.run(fork_server_of(load_settings().data_folder), main))
