"""The scorer's gates and its promise: a window's score has the same bits in any batch."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from fleetpulse.effects import F32
from fleetpulse.errors import ConfigError
from fleetpulse.settings import ModelSettings
from models.card import Card, Input, Threshold, Training, sha256_of
from models.onnx_scorer import OnnxScorer
from models.registry import FolderRegistry, Golden, ModelVersion

SHIPPED = "rotating-ae@1"


@pytest.fixture(scope="module")
def scorer() -> OnnxScorer:
    return OnnxScorer(ModelSettings())


@pytest.fixture(scope="module")
def golden() -> Golden:
    return FolderRegistry(ModelSettings().folder).load(SHIPPED).golden


def batch_size_model() -> bytes:
    """A model whose every score is the number of windows in its run."""
    nodes = [
        helper.make_node("ReduceSum", ["samples", "axes"], ["sums"], keepdims=0),
        helper.make_node("Mul", ["sums", "zero"], ["zeros"]),
        helper.make_node("Shape", ["zeros"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["size"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["zeros", "size"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "batch-size",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", 4, 1])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])],
        [
            numpy_helper.from_array(np.array([1, 2]), "axes"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def stored(folder: Path, scores: F32, *, window: int = 4) -> OnnxScorer:
    """A registry in `folder` that holds the batch-size model, and its scorer."""
    content = batch_size_model()
    card = Card(
        name="batch-size",
        version=1,
        kind="stateless",
        input=Input(name="samples", window=window, channels=("value",), rate_hz=1.0),
        output="score",
        features="none",
        threshold=Threshold(value=1.0, method="none", healthy_quantiles={}),
        training=Training(code="none", data="none", windows=0, seed=0),
        detection={},
        sha256=sha256_of(content),
    )
    samples = np.zeros((len(scores), 4, 1), np.float32)
    FolderRegistry(folder).store(ModelVersion(card, content, Golden(samples, scores)))
    return OnnxScorer(ModelSettings(folder=folder))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 31, 63, 64, 65, 129, 200])
def test_bits_do_not_depend_on_batch_or_position(
    scorer: OnnxScorer, golden: Golden, size: int
) -> None:
    rng = np.random.default_rng(size)
    order = rng.integers(0, len(golden.samples), size)
    together = scorer.score(SHIPPED, golden.samples[order])
    alone = [scorer.score(SHIPPED, golden.samples[at : at + 1])[0] for at in order]
    assert together.tobytes() == np.array(alone, np.float32).tobytes()


def test_any_finite_window_has_a_finite_score(scorer: OnnxScorer) -> None:
    extreme = np.finfo(np.float32).max
    samples = np.zeros((4, 256, 6), np.float32)
    samples[0] = extreme
    samples[1, ::2], samples[1, 1::2] = extreme, -extreme
    samples[2] = np.finfo(np.float32).tiny
    assert np.isfinite(scorer.score(SHIPPED, samples)).all()


def test_an_empty_batch_has_no_scores(scorer: OnnxScorer) -> None:
    assert scorer.score(SHIPPED, np.zeros((0, 256, 6), np.float32)).shape == (0,)


def test_another_shape_is_refused(scorer: OnnxScorer) -> None:
    with pytest.raises(ConfigError, match=r"takes windows of \[256, 6\], not \[128, 6\]"):
        scorer.score(SHIPPED, np.zeros((1, 128, 6), np.float32))


@pytest.mark.parametrize("ref", ["rotating-ae@9", "../registry/rotating-ae@1", "nothing"])
def test_an_unknown_model_is_named_with_the_known_ones(scorer: OnnxScorer, ref: str) -> None:
    with pytest.raises(ConfigError, match=f"is not in .*known: {SHIPPED}"):
        scorer.score(ref, np.zeros((1, 256, 6), np.float32))


def test_a_model_that_depends_on_its_batch_runs_at_one_size(tmp_path: Path) -> None:
    scorer = stored(tmp_path, np.ones(1, np.float32))
    for size in (1, 5, 64, 100):
        scores = scorer.score("batch-size@1", np.zeros((size, 4, 1), np.float32))
        assert set(scores.tolist()) == {64.0}


def test_a_model_that_misses_its_golden_scores_is_refused(tmp_path: Path) -> None:
    scorer = stored(tmp_path, np.full(3, 2.0, np.float32))
    with pytest.raises(ConfigError, match="golden scores differ by up to 1"):
        scorer.score("batch-size@1", np.zeros((1, 4, 1), np.float32))


def test_a_model_unlike_its_card_is_refused(tmp_path: Path) -> None:
    scorer = stored(tmp_path, np.ones(1, np.float32), window=5)
    with pytest.raises(ConfigError, match=r"the card says samples tensor\(float\) \[batch, 5, 1\]"):
        scorer.score("batch-size@1", np.zeros((1, 5, 1), np.float32))


def test_a_changed_model_file_is_refused(tmp_path: Path) -> None:
    scorer = stored(tmp_path, np.ones(1, np.float32))
    path = tmp_path / "batch-size@1" / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ConfigError, match="checksum"):
        scorer.score("batch-size@1", np.zeros((1, 4, 1), np.float32))


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    stored(tmp_path, np.ones(1, np.float32))
    with pytest.raises(ConfigError, match="is already in"):
        stored(tmp_path, np.ones(1, np.float32))


def test_a_card_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    scorer = stored(tmp_path, np.ones(1, np.float32))
    path = tmp_path / "batch-size@1" / "card.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "surprise: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"card\.yaml: surprise"):
        scorer.card("batch-size@1")
