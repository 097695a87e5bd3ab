"""The live page in a real browser."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect, sync_playwright

from fleetpulse.live import LiveUpdate
from tests.serve_apps.parts import (
    Served,
    device_row,
    live_alert,
    live_samples,
    live_scores,
    picture,
    publish,
    shard_status,
)

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)")


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.set_default_timeout(10_000)
        yield page
        browser.close()


@contextmanager
def devices_sending(served: Served, count: int) -> Iterator[None]:
    """`count` devices that send and are scored; pump-0 is ill."""
    replica, loop = served
    ended = threading.Event()

    def send() -> None:
        total = 0
        while not ended.wait(0.05):
            now_us = time.time_ns() // 1000
            total += count * 10
            scores = {f"pump-{n}": 0.5 + 1e-3 * n for n in range(count)} | {"pump-0": 5.0}
            watched = {each: scores[each] for each in ("pump-0", "pump-1")}
            update = LiveUpdate(
                shard_status(total),
                picture(scores, now_us - 20_000),
                live_scores(watched, now_us - 20_000),
                samples=[live_samples(f"pump-{n}", now_us) for n in range(2)],
            )
            publish(replica.hub, loop, update)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_the_page_shows_devices_alerts_and_a_live_chart(served: Served, page: Page) -> None:
    replica, loop = served
    replica.reads.device_rows.append(device_row("pump-0"))
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(replica.url) else wrong.append(asked.url),
    )
    with devices_sending(served, 1000):
        page.goto(replica.url)
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("#devices-total")).to_have_text("1000")
        expect(page.locator("#device-empty")).to_be_visible()
        expect(page.locator("#alerts-empty")).to_be_visible()
        expect(page.locator("#device-list .name").first).to_have_text("pump-0")
        expect(page.locator("#more")).to_have_text("700 more match: search to narrow")

        publish(
            replica.hub,
            loop,
            LiveUpdate(shard_status(), alerts=[live_alert("pump-0", time.time_ns() // 1000)]),
        )
        expect(page.locator("#alert-list .name")).to_contain_text("pump-0")
        expect(page.locator("#alerts-open")).to_have_text("1")

        page.locator("#device-list button").first.click()
        expect(page.locator("#device-state")).to_have_text("alert")
        expect(page.locator("#channel-charts canvas")).to_have_count(2)
        expect(page.locator("#score-now")).to_have_text("5 of 2")

        page.locator("#search").fill("pump-99")
        expect(page.locator("#device-list li")).to_have_count(11)
    assert wrong == [], "the page asked elsewhere or complained"


def test_the_page_says_when_its_data_is_stale_and_recovers(served: Served, page: Page) -> None:
    replica, _ = served
    away = False
    routes: list[WebSocketRoute] = []

    def connection(route: WebSocketRoute) -> None:
        if away:
            route.close()
        else:
            route.connect_to_server()
            routes.append(route)

    page.route_web_socket(re.compile(r"/ws$"), connection)
    with devices_sending(served, 3):
        page.goto(f"{replica.url}/#pump-1")
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("#channel-charts canvas")).to_have_count(2)
        away = True
        routes[0].close()
        expect(page.locator("#link")).to_contain_text("reconnecting, data of")
        away = False
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("#device-state")).to_have_text("ok")
    assert len(routes) == 2
