"""What Ray must find in its environment."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from fleetpulse.errors import SetupError
from fleetpulse.settings import HttpSettings
from serve_apps.environment import serve_environment, socket_folder

HTTP = HttpSettings(port=8123)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_haproxys_sockets_are_private_and_every_program_exists() -> None:
    environment = serve_environment(HTTP)
    folder = socket_folder(HTTP)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert environment["RAY_SERVE_HAPROXY_SOCKET_PATH"].startswith(str(folder))
    for variable in ("RAY_SERVE_HAPROXY_BINARY_PATH", "FLEETPULSE_HAPROXY_BINARY"):
        assert os.access(environment[variable], os.X_OK), f"{variable} cannot be run"


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    socket_folder(HTTP).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match=r"choose another http\.port"):
        serve_environment(HTTP)
