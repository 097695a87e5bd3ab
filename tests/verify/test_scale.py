"""The bench of scale counts what it sends, and draws what it measured."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.scale.core import hottest, measure
from benchmarks.scale.plot import svg
from benchmarks.scale.run import ScaleReport, draw, measure_core
from benchmarks.scale.shape import BASE, CORE_AXES, SLOW, Shape


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.scale.core.SAMPLES", 1)


@pytest.mark.parametrize(
    "shape",
    [
        replace(BASE, devices=64, step_records=64),
        replace(SLOW, devices=100, step_records=30),
        replace(BASE, devices=10, step_records=25, frame_samples=50),
    ],
    ids=["a round a step", "a round in several steps", "several rounds a step"],
)
def test_every_sample_that_is_sent_is_computed(shape: Shape) -> None:
    cost = measure(shape)
    assert cost.samples == cost.records * shape.frame_samples == cost.values / shape.channels
    assert cost.windows == pytest.approx(cost.samples / shape.hop, rel=0.35)
    assert cost.device_seconds == pytest.approx(cost.samples / shape.rate_hz, rel=0.35)
    assert cost.cpu_s > 0


def test_a_model_s_cost_is_spent() -> None:
    shape = replace(BASE, devices=64, step_records=64)
    free, costly = measure(shape), measure(replace(shape, model_us=2000.0))
    assert costly.cpu_s - free.cpu_s == pytest.approx(costly.windows * 2e-3, rel=0.5)


def test_what_is_hot_is_named() -> None:
    hot = hottest(replace(BASE, devices=64, step_records=64))
    assert 0 < sum(share for _, share in hot) <= 1


def test_an_axis_becomes_a_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [(n, replace(BASE, devices=20, step_records=20, frame_samples=n)) for n in (1, 20)]
    monkeypatch.setitem(CORE_AXES, "frame", few)
    report = ScaleReport()
    measure_core(report, ["frame"], lambda *_: None)
    (file,) = draw(report, tmp_path)
    assert file.name == "scale-frame.svg"
    (_, points) = next(report.curves())
    assert points[0][1] > points[1][1], "a sample in a frame of its own is the dearer one"


def test_a_plot_shows_every_point() -> None:
    points = [(0.0, 0.3), (5.0, 0.4), (1_000.0, 8.0)]
    root = ET.fromstring(svg("title", "across", "up", points))
    spots = root.findall("{http://www.w3.org/2000/svg}circle")
    assert len(spots) == len(points)
    across = [float(spot.attrib["cx"]) for spot in spots]
    assert across == sorted(across)
    assert {"0", "5", "1k"} <= {text.text for text in root.iter() if text.text}
