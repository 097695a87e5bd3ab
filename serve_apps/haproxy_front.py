#!/usr/bin/env python3
"""Stands in for the haproxy binary: corrects Serve's configuration, then becomes haproxy.

Serve's template opens a statistics page and a Prometheus page on every interface, without
authentication and without a setting. Serve runs this file instead of haproxy, on every reload
too (RAY_SERVE_HAPROXY_BINARY_PATH). And while an application starts, or its replica has died, the
template answers 404 or 500, which tell a device to give up: 503 tells it to try again. Standard
library only: it runs before any environment.
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

_AGAIN: Final = (
    r'content-type application/json string "{\"error\": {\"field\": \"\", \"reason\":'
    r' \"it is starting\"}}" hdr Retry-After 1'
)
_NOT_FOUND = re.compile(r"^([ \t]+http-request return) status 404 .*$", re.MULTILINE)
_FAILURE = re.compile(r"^([ \t]+)errorfile (50[234]) .*$", re.MULTILINE)
_INGEST: Final = "path_beg /telemetry/"


def on_loopback(configuration: str) -> str:
    """Without the two open pages and the per-request log; raises ValueError if a bind is left."""
    closed = _LOG_TARGET.sub("", _PAGES.sub("", configuration))
    closed = closed.replace("mode 666 level admin", "mode 600 level admin")
    for address in _BIND.findall(closed):
        if not address.startswith(("127.", "localhost:", "[::1]:", "::1:")):
            raise ValueError(f"haproxy would listen on {address}, beyond loopback")
    return _FRONTEND.sub(_NO_PREFETCH, closed)


def asking_again(configuration: str) -> str:
    """With 503 and Retry-After wherever there will be another answer soon."""
    told = _NOT_FOUND.sub(lambda found: f"{found[1]} status 503 {_AGAIN}", configuration)
    told = _FAILURE.sub(lambda found: f"{found[1]}http-error status {found[2]} {_AGAIN}", told)
    if _INGEST in configuration:
        return told
    # Else the query application, which has every path, would know nothing of telemetry.
    rule = f"    http-request return status 503 {_AGAIN} if {{ path_beg /telemetry }}\n"
    return _FRONTEND.sub(lambda found: found[1] + rule, told)


def main() -> NoReturn:
    """Rewrite the file after `-f` in place and become the real binary, with the same pid."""
    arguments = sys.argv[1:]
    path = Path(arguments[arguments.index("-f") + 1])
    path.write_text(on_loopback(asking_again(path.read_text())))
    binary = os.environ[BINARY_VARIABLE]
    os.execv(binary, [binary, *arguments])


if __name__ == "__main__":
    main()
