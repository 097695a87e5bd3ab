#!/usr/bin/env python3
"""Stands in for the haproxy binary: corrects Serve's configuration, then becomes haproxy.

Serve's template opens a statistics page and a Prometheus page on every interface, without
authentication and without a setting. Serve runs this file instead of haproxy, on every reload
too (RAY_SERVE_HAPROXY_BINARY_PATH). Standard library only: it runs before any environment.
"""

import os
import re
import sys
from pathlib import Path
from typing import Final, NoReturn

BINARY_VARIABLE: Final = "FLEETPULSE_HAPROXY_BINARY"
"""Environment variable that names the real binary."""

_PAGES = re.compile(r"^(?:frontend prometheus|listen stats)\n(?:[ \t]+.*\n|\n)*", re.MULTILINE)
_LOG_TARGET = re.compile(r"^[ \t]+log \S+ local0 .*\n", re.MULTILINE)
_FRONTEND = re.compile(r"^(frontend http_frontend\n[ \t]+bind .*\n)", re.MULTILINE)
_BIND = re.compile(r"^[ \t]+bind[ \t]+(\S+)", re.MULTILINE)
# Serve then hands the socket's own `receive` to the application: backpressure on bodies and
# WebSockets, no cancelled handlers, two tasks less for each request.
_NO_PREFETCH = r"\1    http-request set-header x-request-disconnect-disabled ?1\n"


def on_loopback(configuration: str) -> str:
    """Without the two open pages and the per-request log; raises ValueError if a bind is left."""
    closed = _LOG_TARGET.sub("", _PAGES.sub("", configuration))
    closed = closed.replace("mode 666 level admin", "mode 600 level admin")
    for address in _BIND.findall(closed):
        if not address.startswith(("127.", "localhost:", "[::1]:", "::1:")):
            raise ValueError(f"haproxy would listen on {address}, beyond loopback")
    return _FRONTEND.sub(_NO_PREFETCH, closed)


def main() -> NoReturn:
    """Rewrite the file after `-f` in place and become the real binary, with the same pid."""
    arguments = sys.argv[1:]
    path = Path(arguments[arguments.index("-f") + 1])
    path.write_text(on_loopback(path.read_text()))
    binary = os.environ[BINARY_VARIABLE]
    os.execv(binary, [binary, *arguments])


if __name__ == "__main__":
    main()
