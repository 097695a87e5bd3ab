"""`GET /metrics`: the numbers of `/health`, for Prometheus.

Each request asks the parts as `/health` does and keeps nothing, so the two never differ. The
answer is 200 also while something does not work: a scrape that fails would hide what it is.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from fastapi import APIRouter, Response
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serve_apps.query.health import (
    Health,
    HealthService,
    PartitionHealth,
    ShardHealth,
    ViewHealth,
    Views,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
STATUSES: Final = ("ok", "degraded", "unhealthy")
FETCHED: Final = ("running", "recovering", "paused")
"""States of partitions whose shard knows how far behind they are."""
NOT_FETCHED: Final = ("stopped", "unowned")

Values = Mapping[str, float]
"""By the value of the metric's one label."""

_PARTITION: Final[dict[str, tuple[str, Callable[[PartitionHealth], float]]]] = {
    "lag_records": ("Records between the next one and the log's end", lambda p: p.lag),
    "behind_seconds": (
        "Age of the newest record that was processed, while others wait, in seconds",
        lambda p: p.behind_s,
    ),
    "replay_seconds": (
        "Processing time since the newest snapshot, which a recovery would need again, in seconds",
        lambda p: p.replay_s,
    ),
    "snapshot_age_seconds": (
        "Time since the newest snapshot became valid, or since the take-over, in seconds",
        lambda p: p.snapshot_age_s,
    ),
    "restore_seconds": (
        "How long its state took to come back when its shard took it over, in seconds",
        lambda p: p.restore_s,
    ),
}
_SHARD: Final[dict[str, tuple[str, Callable[[ShardHealth], float]]]] = {
    "busy_ratio": (
        "Share of the last seconds spent with records, 0 to 1",
        lambda s: s.busy_fraction,
    ),
    "step_seconds": ("The newest step with scoring, in seconds", lambda s: s.step_ms / 1000),
    "commit_seconds": ("The slowest sink's newest write, in seconds", lambda s: s.commit_ms / 1000),
    "device_state_bytes": (
        "Memory of the active devices' states, in bytes",
        lambda s: s.device_bytes,
    ),
}
_TOTALS: Final[dict[str, tuple[str, Callable[[ShardHealth], float]]]] = {
    "records_fetched": ("Records fetched from the log", lambda s: s.records_total),
    "samples_processed": ("Samples taken by the engine", lambda s: s.samples_total),
    "windows_scored": ("Windows scored", lambda s: s.windows_total),
    "alerts_raised": ("Alerts raised", lambda s: s.alerts_total),
    "records_dead": ("Records sent to telemetry.dead", lambda s: s.dead_total),
    "records_late": ("Records sent to telemetry.late", lambda s: s.late_total),
    "records_paused": ("Records of paused devices, left in the log", lambda s: s.paused_total),
}


class HealthCollector(Collector):
    """One report as metric families."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """In the order of `/health`."""
        health = self._health
        states: Values = {each: each == health.status for each in STATUSES}
        yield _gauge("status", "1 for what /health says", "status", states)
        up: Values = {name: part.ok for name, part in health.parts.items()}
        yield _gauge("part_up", "1 if the part works, else 0", "part", up)
        yield from _views(health.views)
        yield from _partitions(health.partitions)
        yield _gauge("shards", "Shards by state", "state", _shard_states(health))
        yield from _shards(health.shards)
        help_text = "Replay in seconds that is accepted: a shard with more takes a snapshot"
        name = "fleetpulse_snapshot_replay_budget_seconds"
        yield GaugeMetricFamily(name, help_text, value=health.replay_budget_s)


def metrics_route(health: HealthService) -> APIRouter:
    """`/metrics`."""
    router = APIRouter()

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text format"}},
    )
    async def metrics() -> Response:
        """What `/health` knows, as Prometheus metrics. Always 200: `fleetpulse_status` judges."""
        report = await health.report()
        return Response(generate_latest(HealthCollector(report)), media_type=CONTENT_TYPE)

    return router


def _views(views: Views) -> Iterator[Metric]:
    by_name: dict[str, ViewHealth] = {"live": views.live}
    if views.next is not None:
        by_name["next"] = views.next
    seconds: Values = {name: view.tether_s for name, view in by_name.items()}
    records: Values = {name: view.tether_records for name, view in by_name.items()}
    distance = "Distance of a view from the log's head, in"
    yield _gauge("tether_seconds", f"{distance} seconds", "view", seconds)
    yield _gauge("tether_records", f"{distance} records", "view", records)
    if views.next is not None:
        jobs = {
            state: getattr(views.next, state)
            for state in ("marked", "computing", "following", "failed")
        }
        yield _gauge("recompute_jobs", "Recompute jobs by state", "state", jobs)
        name, help_text = "recompute_outbox_messages", "Corrections that Kafka does not have yet"
        yield GaugeMetricFamily(f"fleetpulse_{name}", help_text, value=views.next.outbox)


def _partitions(partitions: list[PartitionHealth]) -> Iterator[Metric]:
    found = Counter(each.state for each in partitions)
    states: Values = {state: found[state] for state in (*FETCHED, *NOT_FETCHED)}
    yield _gauge("partitions", "Telemetry partitions by state", "state", states)
    known = [each for each in partitions if each.state in FETCHED]
    for name, (help_text, value) in _PARTITION.items():
        values: Values = {str(each.partition): value(each) for each in known}
        yield _gauge(f"partition_{name}", help_text, "partition", values)


def _shards(shards: list[ShardHealth]) -> Iterator[Metric]:
    devices: Values = {
        "active": sum(each.devices - each.passive for each in shards),
        "passive": sum(each.passive for each in shards),
    }
    help_text = "Devices by where their state is: in memory, or stored only"
    yield _gauge("devices", help_text, "state", devices)
    for name, (help_text, value) in _SHARD.items():
        values: Values = {each.shard: value(each) for each in shards}
        yield _gauge(f"shard_{name}", help_text, "shard", values)
    for name, (help_text, value) in _TOTALS.items():
        total = CounterMetricFamily(f"fleetpulse_{name}", help_text, labels=("shard",))
        for each in shards:
            total.add_metric((each.shard,), value(each))
        yield total


def _shard_states(health: Health) -> Values:
    """working: all of its partitions run. limited: not all do. idle: it has none."""
    of_shard = {shard.shard: set[str]() for shard in health.shards}
    for part in health.partitions:
        if part.shard in of_shard:
            of_shard[part.shard].add(part.state)
    found = Counter(_shard_state(states) for states in of_shard.values())
    return {state: found[state] for state in ("working", "limited", "idle")}


def _shard_state(states: set[str]) -> str:
    if not states:
        return "idle"
    return "working" if states == {"running"} else "limited"


def _gauge(name: str, help_text: str, label: str, values: Values) -> Metric:
    family = GaugeMetricFamily(f"fleetpulse_{name}", help_text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family
