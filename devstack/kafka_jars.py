"""Kafka's jars: fetched once by Maven into a cache that every checkout shares.

`python -m devstack.kafka_jars` fills the cache ahead of the first start.
"""

import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

from fleetpulse.errors import SetupError

POM = Path(__file__).with_name("pom.xml")
KAFKA_VERSION = "4.2.0"
_FETCH_TIMEOUT_S = 600


def jars_folder() -> Path:
    """Where this version's jars are or will be; the name follows from all that pom.xml pins."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (
        cache / "fleetpulse" / f"kafka-{KAFKA_VERSION}-{sha256(POM.read_bytes()).hexdigest()[:8]}"
    )


def ensure_jars() -> Path:
    """The folder with the jars, fetching them if needed; raises SetupError without Maven."""
    folder = jars_folder()
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise SetupError(
            "Maven is missing and Kafka's jars are not cached",
            remedy="install it (Debian: apt install maven) or set FLEETPULSE_KAFKA__BOOTSTRAP",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A rename at the end: an interrupted download never looks complete.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="kafka-fetch-") as scratch:
        jars = Path(scratch, "jars")
        _fetch(maven, jars)
        try:
            jars.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _fetch(maven: str, jars: Path) -> None:
    command = [maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(
            f"Maven did not fetch Kafka within {_FETCH_TIMEOUT_S} s", remedy="check the network"
        ) from error
    if done.returncode != 0:
        said = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        raise SetupError(
            f"Maven could not fetch Kafka: {said[0][:300] if said else 'no reason given'}",
            remedy="check the network and Maven's settings.xml (mirror, proxy)",
        )


if __name__ == "__main__":
    print(ensure_jars())  # noqa: T201
