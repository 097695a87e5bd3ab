"""Our own brokers: one, or three that hold each other's data."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from actors.revival import Revival
from devstack.kafka_server import STOP_TIMEOUT_S, KafkaServer, new_cluster_id
from fleetpulse.errors import ConfigError
from fleetpulse.settings import KafkaSettings

TOGETHER_S = 3.0


class KafkaCluster:
    """Owns `settings.brokers` broker processes and their folders.

    One broker keeps its log in `folder`, several in folders of their own below it.
    """

    def __init__(self, settings: KafkaSettings, folder: Path) -> None:
        self._folder = folder
        alone = settings.brokers == 1
        if folder.exists() and (folder / "log").exists() != alone and any(folder.iterdir()):
            raise ConfigError(
                f"FLEETPULSE_KAFKA__BROKERS: the log in {folder} was made by another number of"
                " brokers"
            )
        cluster_id = "" if alone else _cluster_id(folder)
        self.servers = [
            KafkaServer(
                settings,
                folder if alone else folder / str(node),
                node=node,
                cluster_id=cluster_id,
            )
            for node in range(1, settings.brokers + 1)
        ]
        self._revivals = [Revival() for _ in self.servers]

    def start(self) -> None:
        """All at once: none serves before most of them run. Raises SetupError."""
        with ThreadPoolExecutor(len(self.servers)) as threads:
            for started in [threads.submit(server.start) for server in self.servers]:
                started.result()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End all, each cleanly if it can within `timeout_s`.

        Of several, the last ones cannot: they wait for the others. Their log is recovered.
        """
        if len(self.servers) > 1:
            timeout_s = min(timeout_s, TOGETHER_S)
        with ThreadPoolExecutor(len(self.servers)) as threads:
            for stopped in [threads.submit(each.stop, timeout_s) for each in self.servers]:
                stopped.result()

    def tend(self) -> str | None:
        """Start those again that ended, without waiting for them; what happened."""
        ended = [
            server.name
            for server, revival in zip(self.servers, self._revivals, strict=True)
            if server.pid is None and revival.due()
        ]
        for server in self.servers:
            if server.name in ended:
                server.launch()
        if not ended:
            return None
        return f"{', '.join(ended)} ended and was started again; see {self._folder}"


def _cluster_id(folder: Path) -> str:
    """Kept in the folder: a broker whose own folder is new joins the same cluster."""
    file = folder / "cluster-id"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(new_cluster_id())
    return file.read_text()
