"""Serve's own HAProxy template, corrected: nothing listens beyond loopback."""

import pytest
from jinja2 import ChainableUndefined, Environment
from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

from serve_apps.haproxy_front import on_loopback


def rendered(host: str) -> str:
    environment = Environment(autoescape=False, undefined=ChainableUndefined)
    environment.filters["haproxy_fmt"] = str
    config = {
        "frontend_host": host,
        "frontend_port": 8000,
        "metrics_port": 9101,
        "stats_port": 8404,
        "log_target": "127.0.0.1:514",
    }
    return environment.from_string(HAPROXY_CONFIG_TEMPLATE).render(config=config, backends=[])


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
