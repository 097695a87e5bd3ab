"""What this machine lacks to run the local stack, before anything is started."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from devstack.free_ports import port_is_free
from devstack.kafka_jars import jars_folder
from fleetpulse.errors import SetupError
from fleetpulse.settings import KafkaSettings, Settings

JAVA_MIN = 17
DISK_MB_MIN = 1024
_JAVA_REMEDY = (
    f"install Java {JAVA_MIN} or newer (Debian: apt install openjdk-17-jre-headless), "
    "or name a broker in FLEETPULSE_KAFKA__BOOTSTRAP"
)
# Resident, measured: Ray's own processes, the Serve controller and proxies, PostgreSQL, the hub.
_BASE_MB = 1100
_WORKER_MB = 230
_BROKER_MB_BESIDE_HEAP = 120


def missing(settings: Settings) -> list[SetupError]:
    """Everything that would stop the stack from starting, each with its remedy."""
    return [*_programs(settings.kafka), *_ports(settings), *_memory(settings), *_folder(settings)]


def _programs(kafka: KafkaSettings) -> Iterator[SetupError]:
    if kafka.bootstrap:
        return
    java = shutil.which("java")
    if java is None:
        yield SetupError("Java is missing", remedy=_JAVA_REMEDY)
    elif (version := _java_version(java)) < JAVA_MIN:
        yield SetupError(f"Java {version} ({java}) is too old for Kafka", remedy=_JAVA_REMEDY)
    if not jars_folder().is_dir() and shutil.which("mvn") is None:
        yield SetupError(
            "Maven is missing, and Kafka's jars are not cached yet",
            remedy="install Maven (Debian: apt install maven), needed once",
        )


def _java_version(java: str) -> int:
    """The major version: 17 for "17.0.15", 8 for "1.8.0_402"; 0 when it says nothing useful."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    told = re.search(rb'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(told[1]) if told else 0


def _ports(settings: Settings) -> Iterator[SetupError]:
    wanted: dict[int, str] = {}
    if not settings.kafka.bootstrap:
        for port in settings.kafka.ports:
            wanted[port] = wanted[port + 1] = "FLEETPULSE_KAFKA__PORT"
    if settings.postgres.dsn is None:
        wanted[settings.postgres.port] = "FLEETPULSE_POSTGRES__PORT"
    wanted[settings.http.port] = "FLEETPULSE_HTTP__PORT"
    for port, variable in wanted.items():
        if not port_is_free(port):
            yield SetupError(
                f"port {port} is in use{_holder(port)}",
                remedy=f"end that program or choose another port with {variable}",
            )


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid is not None
            ):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return ""


def _memory(settings: Settings) -> Iterator[SetupError]:
    workers = settings.shard.count + settings.shard.spare
    workers += settings.http.ingest_replicas + settings.http.query_replicas
    needed = _BASE_MB + workers * _WORKER_MB + settings.ray.object_store_mb
    if not settings.kafka.bootstrap:
        each = settings.kafka.heap_mb + _BROKER_MB_BESIDE_HEAP
        needed += settings.kafka.brokers * each
    available = _available_mb()
    if available < needed:
        yield SetupError(
            f"too little memory: {available} MB available, about {needed} MB needed",
            remedy="end other programs or lower FLEETPULSE_KAFKA__HEAP_MB, FLEETPULSE_SHARD__COUNT",
        )


def _available_mb() -> int:
    available = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")  # a container's own limit
    try:
        limit = int((group / "memory.max").read_text())
        available = min(available, limit - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        pass
    return available // 2**20


def _folder(settings: Settings) -> Iterator[SetupError]:
    folder = settings.data_folder.absolute()
    remedy = "choose another with FLEETPULSE_DATA_FOLDER"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield SetupError(
            f"the data folder {folder} is not writable ({error.strerror})", remedy=remedy
        )
        return
    free = psutil.disk_usage(str(folder)).free // 2**20
    if free < DISK_MB_MIN:
        yield SetupError(f"only {free} MB are free below {folder}", remedy=remedy)
