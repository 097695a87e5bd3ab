"""A contender's own Python: made once from its pinned requirements, in the data folder."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fleetpulse.errors import SetupError

_ROOT: Final = Path(__file__).resolve().parents[2]
_REQUIREMENTS: Final = Path(__file__).parent / "requirements"
_POMS: Final = Path(__file__).parent / "contenders"
_STARTS: Final = {"flink": "benchmarks.fleet.contenders.flink_start"}
"""Modules that an environment runs before anything else."""
_TIMEOUT_S: Final = 900.0


def python_of(environment: str, data_folder: Path) -> Path:
    """The interpreter of an environment, which is made if need be; raises SetupError.

    Jars that it needs are those of its pom.xml, fetched by Maven.
    """
    if not environment:
        return Path(sys.executable)
    wanted = _REQUIREMENTS / f"{environment}.txt"
    mark = sha256(wanted.read_bytes()).hexdigest()[:8]
    folder = data_folder.absolute() / "contenders" / f"{environment}-{mark}"
    if not folder.is_dir():
        _make(wanted, folder)
    return folder / "bin" / "python"


def _make(requirements: Path, folder: Path) -> None:
    uv = _run([str(_ROOT / "setup.sh"), "--uv"]).strip()
    scratch = folder.with_name(folder.name + ".new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    _run([uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(scratch)])
    python = scratch / "bin" / "python"
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes"]
    _run([*install, "-r", str(requirements)])
    pom = _POMS / f"{requirements.stem}.pom.xml"
    if pom.exists():
        copy = ["-DincludeScope=runtime", f"-DoutputDirectory={scratch / 'jars'}"]
        _run(["mvn", "-B", "-q", "-f", str(pom), "dependency:copy-dependencies", *copy])
    if start := _STARTS.get(requirements.stem):
        source = find_spec(start)
        assert source is not None
        assert source.origin is not None
        (packages,) = scratch.glob("lib/python*/site-packages")
        shutil.copyfile(source.origin, packages / "sitecustomize.py")
    # A rename at the end: an environment that was interrupted never looks complete.
    scratch.rename(folder)


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command,
        cwd=_ROOT,
        env=os.environ | {"PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise SetupError(
            f"{Path(command[0]).name} {command[1]}: {said[-1] if said else 'no reason given'}",
            remedy="check the network, or leave this contender out",
        )
    return done.stdout
