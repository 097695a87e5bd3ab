"""Ray, and what runs on it, as parts of a stack."""

from collections.abc import Callable
from pathlib import Path

from actors.supervisor import Shards
from devstack.part import Lost, Started
from devstack.ray_node import dead_processes, start_ray, stop_ray
from devstack.shards_wanted import shards_wanted
from fleetpulse.errors import RetryLater, SetupError
from fleetpulse.settings import RaySettings, Settings
from serve_apps.deploy import ServeStart, deploy, drain_ingest, serve_targets, stop_serve

SHARDS_READY_TIMEOUT_S = 60.0
DRAIN_TIMEOUT_S = 2.0
"""For what the ingest has accepted to become durable."""


class RayPart:
    """Our own Ray on loopback, unless the settings name a cluster."""

    name = "Ray"

    def __init__(
        self, settings: RaySettings, data_folder: Path, then: Callable[[Settings], None]
    ) -> None:
        """`then`: what begins at once when it runs."""
        self._settings = settings
        self._data_folder = data_folder
        self._then = then

    def start(self, settings: Settings) -> Started:
        """Start or connect."""
        address = start_ray(self._settings, self._data_folder)
        self._then(settings)
        return Started(settings, address, ray_address=address)

    def stop(self, timeout_s: float) -> None:  # noqa: ARG002  # Ray ends in 1.5 s, by force
        """End a local Ray, leave another one."""
        stop_ray(self._settings, self._data_folder)

    def tend(self) -> str | None:
        """Ray restarts its workers by itself. Raises Lost without raylet or GCS."""
        for name in dead_processes():
            raise Lost(f"Ray's {name} ended")
        return None

    def abandon(self) -> None:
        """It runs on nothing of ours."""


class ShardsPart:
    """The device engine and the live hub."""

    name = "shards"

    def __init__(self, data_folder: Path, *, again: bool) -> None:
        """`again`: they ran a moment ago, and who needs them waits for them by itself."""
        self._data_folder = data_folder
        self._again = again
        self._shards: Shards | None = None

    def start(self, settings: Settings) -> Started:
        """Start the shards; they recover from their snapshots and take their partitions."""
        wanted = shards_wanted(self._data_folder)
        self._shards = Shards(settings, wanted or settings.shard.count)
        self._shards.start()
        if not self._again:  # else the ingest does not wait for them
            try:
                self._shards.await_ready(SHARDS_READY_TIMEOUT_S)
            except RetryLater as error:
                raise SetupError(str(error), remedy="see the workers' logs of Ray") from error
        return Started(settings, f"with {settings.kafka.partitions} partitions")

    def stop(self, timeout_s: float) -> None:
        """Commit, snapshot, leave the group."""
        if self._shards and not self._shards.stop():
            raise TimeoutError(f"not every shard committed within {timeout_s:.0f} s")

    def tend(self) -> str | None:
        """Scale as asked; the shards' own supervisor replaces those that die."""
        if self._shards:
            self._shards.complete()  # every part has started
        wanted = shards_wanted(self._data_folder)
        if self._shards and wanted is not None and wanted != self._shards.wanted:
            self._shards.scale(wanted)
        return None

    def abandon(self) -> None:
        """Replace no shard any more."""
        if self._shards:
            self._shards.abandon()


class ServePart:
    """Ingest, API and page."""

    name = "HTTP"

    def __init__(self, *, again: bool) -> None:
        """`again`: it ran a moment ago, and who sends is waiting for the ingest."""
        self._again = again
        self._serve: ServeStart | None = None
        self._settings: Settings | None = None
        self._deployed = False

    def begin(self, settings: Settings) -> None:
        """On our own Ray, start beside the shards what both applications need."""
        if not settings.ray.address:
            self._settings = settings
            self._serve = ServeStart(settings.http)

    def start(self, settings: Settings) -> Started:
        """Deploy both applications, wait until they answer."""
        self._settings = settings
        begun = self._serve or ServeStart(settings.http)
        deploy(settings, serve_targets(settings), begun, in_turn=self._again)
        self._deployed = True
        return Started(settings, f"{settings.http.host}:{settings.http.port}")

    def stop(self, timeout_s: float) -> None:
        """Refuse new input and wait until what was accepted is in the log."""
        if self._settings is None:
            return
        if self._serve:
            self._serve.settle(timeout_s)
        durable = not self._deployed or drain_ingest(min(timeout_s, DRAIN_TIMEOUT_S))
        stop_serve(self._settings.http)
        if not durable:
            raise TimeoutError("requests were under way; their senders got no 202")

    def tend(self) -> str | None:
        """Serve starts replicas again by itself."""
        return None

    def abandon(self) -> None:
        """Serve went with its Ray."""
