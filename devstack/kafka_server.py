"""A real Kafka broker (KRaft, its own controller) on loopback, carrying on from its stored log."""

import base64
import shutil
import socket
import struct
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack.kafka_jars import ensure_jars
from devstack.server_process import ServerProcess
from fleetpulse.errors import SetupError
from fleetpulse.settings import KafkaSettings

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 6.0
_HERE = Path(__file__).parent


class KafkaServer:
    """Owns the broker process and `folder`: its log, configuration and log files.

    node: which of `settings.brokers` it is, from 1. cluster_id: the same for all of them.
    properties: of the broker, over ours; a plaintext listener on our port must remain.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        folder: Path,
        *,
        node: int = 1,
        cluster_id: str = "",
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._node = node
        self._cluster_id = cluster_id or new_cluster_id()
        self._port = settings.ports[node - 1]
        self._folder = folder.absolute()
        self._properties = dict(properties or {})
        self.name = f"Kafka broker {node}"
        self._process: ServerProcess | None = None

    @property
    def pid(self) -> int | None:
        """Of the broker, while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Format an empty folder, start the broker, wait until it serves requests."""
        self.launch()
        assert self._process is not None
        self._process.wait_ready(
            lambda: _serves("127.0.0.1", self._port), timeout_s=START_TIMEOUT_S
        )

    def launch(self) -> None:
        """As `start`, without the wait."""
        if self.pid:
            return
        java = shutil.which("java")
        if java is None:
            raise SetupError(
                "Java is missing", remedy="install Java 17 or newer (apt install openjdk-17-jre)"
            )
        jars = ensure_jars()
        self._folder.mkdir(parents=True, exist_ok=True)
        log_folder = self._folder / "log"
        if not log_folder.is_dir():
            self._format(java, jars, log_folder)
        self._process = ServerProcess(
            self.name,
            [*self._java(java, jars), "kafka.Kafka", str(self._configure(log_folder))],
            log=self._folder / "kafka.out",
        )
        self._process.start()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the broker, cleanly if it can within `timeout_s`."""
        if self._process:
            self._process.stop(timeout_s=timeout_s)

    def _java(self, java: str, jars: Path) -> list[str]:
        return [
            java,
            f"-Xms{self._settings.heap_mb}m",
            f"-Xmx{self._settings.heap_mb}m",
            # What it is given it has from the start: no page fault later, no growth to explain.
            "-XX:+AlwaysPreTouch",
            "-XX:+UseSerialGC",
            # Each collection of what is young stops everything for some 20 ms: fewer, then.
            f"-Xmn{self._settings.heap_mb // 2}m",
            # The optimising compiler takes a core for the first minute, of cores shared by all.
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            # Otherwise loopback shows up as [::ffff:127.0.0.1].
            "-Djava.net.preferIPv4Stack=true",
            f"-Dlog4j.configurationFile={_HERE / 'log4j2.properties'}",
            f"-Dfleetpulse.kafka.log={self._folder / 'kafka.log'}",
            "-cp",
            f"{jars}/*",
        ]

    def _configure(self, log_folder: Path) -> Path:
        controller = self._port + 1
        lines = (
            f"node.id={self._node}",
            f"listeners=PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{controller}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self._port}",
            f"log.dirs={log_folder}",
            *_replication(self._settings.ports),
            # Of two lines with one name the broker takes the last.
            *(f"{name}={value}" for name, value in self._properties.items()),
        )
        path = self._folder / "server.properties"
        path.write_text((_HERE / "server.properties").read_text() + "\n".join(lines) + "\n")
        return path

    def _format(self, java: str, jars: Path, log_folder: Path) -> None:
        # Under another name until it is done: a half formatted folder is never started.
        fresh = log_folder.with_name("log.new")
        shutil.rmtree(fresh, ignore_errors=True)
        tool = [*self._java(java, jars), "kafka.tools.StorageTool", "format"]
        alone = ["--standalone"] if len(self._settings.ports) == 1 else []
        done = subprocess.run(
            [*tool, *alone, "-t", self._cluster_id, "-c", str(self._configure(fresh))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise SetupError(
                f"Kafka could not format {log_folder}: {said[-1][:300] if said else 'no reason'}",
                remedy=f"see {self._folder / 'kafka.log'}",
            )
        fresh.rename(log_folder)


def _replication(ports: Sequence[int]) -> list[str]:
    """How the brokers at these ports find and hold each other's data."""
    controllers = [f"127.0.0.1:{port + 1}" for port in ports]
    if len(ports) == 1:
        return [f"controller.quorum.bootstrap.servers={controllers[0]}", *_copies(1, 1)]
    voters = ",".join(f"{node}@{address}" for node, address in enumerate(controllers, 1))
    return [
        f"controller.quorum.voters={voters}",
        *_copies(min(3, len(ports)), min(2, len(ports) - 1)),
    ]


def _copies(replicas: int, in_sync_min: int) -> list[str]:
    return [
        f"default.replication.factor={replicas}",
        f"min.insync.replicas={in_sync_min}",
        f"offsets.topic.replication.factor={replicas}",
        f"transaction.state.log.replication.factor={replicas}",
        f"transaction.state.log.min.isr={in_sync_min}",
        f"share.coordinator.state.topic.replication.factor={replicas}",
        f"share.coordinator.state.topic.min.isr={in_sync_min}",
    ]


def new_cluster_id() -> str:
    """A random id; Kafka's tools take a leading "-" for an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))[0] == "-":
        pass
    return text


def _serves(host: str, port: int) -> bool:
    """Whether a broker answers an ApiVersions request: it does so only once it is unfenced."""
    api_versions, correlation = 18, 7
    body = struct.pack(">hhih", api_versions, 0, correlation, -1)
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.settimeout(1)
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.recv(8)
    except OSError:
        return False
    return len(answer) == 8 and struct.unpack(">ii", answer)[1] == correlation
