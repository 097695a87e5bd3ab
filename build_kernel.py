"""Compiles fleetpulse/kernel in place, unless what is there was built from these very sources.

`python build_kernel.py` builds; Hatch calls `KernelBuild` for installs and wheels; the tests build
what they need. Nothing builds at run time.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path(__file__).resolve().parent / "fleetpulse" / "kernel"
EXTENSION = FOLDER / f"native{sysconfig.get_config_var('EXT_SUFFIX')}"
# Results are bits: no fused multiply-add, no reordering. Integers wrap as numpy's do. Hidden, or
# a function of another library with the same name is called instead (libc has an `advance`).
FLAGS = """-std=c11 -O3 -fwrapv -ffp-contract=off -fPIC -fvisibility=hidden
    -Wall -Wextra -Wno-unused-parameter""".split()
LINK = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]


def build() -> Path:
    """The compiled module; exits with what to do when it cannot be compiled."""
    sources = sorted(FOLDER.glob("*.c"))
    text = b"".join(path.read_bytes() for path in [*sources, *sorted(FOLDER.glob("*.h"))])
    digest = hashlib.sha256(text + " ".join(FLAGS).encode()).hexdigest()
    if EXTENSION.exists() and digest.encode() in EXTENSION.read_bytes():
        return EXTENSION
    headers = sysconfig.get_path("include")
    if not Path(headers, "Python.h").exists():
        sys.exit(f"setup: no Python.h in {headers}: install Python's headers (python3-dev)")
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        made = Path(folder, EXTENSION.name)
        command = [
            *[*_compiler(), *FLAGS, *LINK, f"-I{headers}", f'-DKERNEL_SOURCES="{digest}"'],
            *map(str, sources),
            *["-lm", "-o", str(made)],
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            sys.exit(f"setup: fleetpulse/kernel does not compile:\n{done.stderr}")
        made.replace(EXTENSION)  # in one step: others may be importing it
    return EXTENSION


def _compiler() -> list[str]:
    for name in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc", "gcc", "clang"):
        words = shlex.split(name or "")
        if words and shutil.which(words[0]):
            return words[:1]
    sys.exit("setup: no C compiler found: install gcc (Debian: apt-get install gcc libc6-dev)")


class KernelBuild(BuildHookInterface[Any]):
    """Hatch's door: the module is part of a wheel, and lies beside its sources otherwise."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Before anything is packed."""
        made = build().relative_to(self.root)
        build_data["artifacts"].append(f"/{made.as_posix()}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


if __name__ == "__main__":
    build()
