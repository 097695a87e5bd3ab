"""A local Ray on loopback, sized for one machine. Its processes are children of this one."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray

from devstack import fork_request, idle_agent
from fleetpulse.errors import SetupError
from fleetpulse.settings import RaySettings

NAMESPACE = "fleetpulse"
_UNUSED = ("start_monitor", "start_log_monitor", "start_api_server")
_WORKERS = "--python_worker_command="
_PYTHON = "_build_python_executable_command_memory_profileable"
VITAL = frozenset({"raylet", "gcs_server"})
# Workers start when an actor needs them; statistics that nobody reads are not collected. By default
# Ray gives workers niceness 15: on a busy machine the broker would starve the shards.
_SYSTEM_CONFIG = {
    "worker_niceness": 0,
    "prestart_worker_first_driver": False,
    "enable_metrics_collection": False,
    "task_events_report_interval_ms": 0,
}


def start_ray(settings: RaySettings, data_folder: Path) -> str:
    """Start Ray, or connect to the cluster that the settings name; returns its address.

    The environments of `devstack.launch` and `devstack.fork_server` must be in place, because Ray
    reads them when imported, and this process be the fork server's program: it makes the workers.
    """
    try:
        if settings.address:
            ray.init(address=settings.address, namespace=NAMESPACE, log_to_driver=False)
        else:
            with _only_what_is_used(fork_server_of(data_folder)):
                ray.init(
                    address="local",
                    namespace=NAMESPACE,
                    num_cpus=settings.num_cpus,
                    include_dashboard=False,
                    object_store_memory=settings.object_store_mb * 2**20,
                    log_to_driver=False,
                    _temp_dir=str(_fresh_sessions_folder(data_folder)),
                    _system_config=_SYSTEM_CONFIG,
                )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = f"Ray at {settings.address}" if settings.address else "Ray"
        raise SetupError(
            f"{where} did not start: {str(error).splitlines()[0][:300]}",
            remedy=f"see {sessions_folder(data_folder)}/session_latest/logs",
        ) from error
    return str(ray.get_runtime_context().gcs_address)


@contextlib.contextmanager
def _only_what_is_used(fork_server: Path) -> Iterator[None]:
    """Start no autoscaler, log monitor and dashboard head, which no option turns off.

    Nothing here asks them, and `ray.init` waits for the head: a third of a node's start. The two
    agents that the raylet insists on are idle ones, and workers are forked.
    """
    node: Any = ray._private.node.Node  # noqa: SLF001
    with ExitStack() as replaced:
        for name in _UNUSED:
            replaced.enter_context(patch.object(node, name, _start_nothing))
        services: Any = ray._private.services  # noqa: SLF001
        theirs = getattr(services, _PYTHON)
        replaced.enter_context(patch.object(services, _PYTHON, partial(_python, theirs)))
        start = partial(_start_process, services.start_ray_process, fork_server)
        replaced.enter_context(patch.object(services, "start_ray_process", start))
        yield


def _python(theirs: Callable[..., list[str]], component: str, *rest: Any, **more: Any) -> list[str]:
    """How a process of Ray's begins; what it is told follows."""
    if component in idle_agent.PORTS:
        return [sys.executable, "-I", "-S", idle_agent.__file__, component]
    return theirs(component, *rest, **more)


def _start_process(
    theirs: Callable[..., object], fork_server: Path, command: list[str], *rest: Any, **more: Any
) -> object:
    """A process of Ray's; the raylet is told how to get a worker."""
    return theirs([_with_forks(each, fork_server) for each in command], *rest, **more)


def _with_forks(argument: str, fork_server: Path) -> str:
    if not argument.startswith(_WORKERS):
        return argument
    setup = str(Path(ray.__file__).parent / "_private" / "workers" / "setup_worker.py")
    request = ["-I", "-S", fork_request.__file__, str(fork_server), setup]
    changed = argument.replace(
        subprocess.list2cmdline([sys.executable, setup]),
        subprocess.list2cmdline([sys.executable, *request]),
    )
    if changed == argument:
        raise RuntimeError(f"another way to start workers than is known: {argument[:200]}")
    return changed


def _start_nothing(*_: object, **__: object) -> None:
    """In place of a process."""


def stop_ray(settings: RaySettings, data_folder: Path) -> None:
    """Disconnect; a local Ray ends with all it runs, and its logs move to the data folder."""
    ray.shutdown()
    if settings.address:
        return
    sessions = sessions_folder(data_folder)
    kept = data_folder / "ray-logs"
    with contextlib.suppress(OSError):  # Ray never got so far
        logs = (sessions / "session_latest").resolve(strict=True) / "logs"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.move(logs, kept)
    shutil.rmtree(sessions, ignore_errors=True)


def dead_processes() -> list[str]:
    """Which of a local Ray's vital processes, children of this one, have ended."""
    node: Any = ray._private.worker._global_node  # noqa: SLF001  # nothing public knows them
    ended: set[str] = {name for name, _ in node.dead_processes()} if node else set()
    return sorted(ended & VITAL)


def sessions_folder(data_folder: Path) -> Path:
    """Ray's sockets and logs: short, because a socket's path must stay below 108 bytes."""
    name = sha256(str(data_folder.absolute()).encode()).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"fleetpulse-ray-{name}"


def fork_server_of(data_folder: Path) -> Path:
    """The socket of the process that makes a local Ray's workers."""
    return sessions_folder(data_folder).with_suffix(".forks")


def _fresh_sessions_folder(data_folder: Path) -> Path:
    folder = sessions_folder(data_folder)
    shutil.rmtree(folder, ignore_errors=True)  # an earlier run's logs
    folder.mkdir(mode=0o700, parents=True)
    return folder
