"""Convolutions over time, lifted to two dimensions, are the same network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.fleet.model import build
from models.train.lift import lifted

TIME, CHANNELS = 32, 3
RANDOM = np.random.default_rng(4)


Constants = dict[str, np.ndarray]


def model(nodes: Sequence[onnx.NodeProto], constants: Constants, *, opset: int = 17) -> bytes:
    """`samples` float32 [batch, 3, 32] -> `out`, by these nodes."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", CHANNELS, TIME])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * 3)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    content: bytes = helper.make_model(
        graph, opset_imports=imports, ir_version=8
    ).SerializeToString()
    return content


def weights(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def run(content: bytes, samples: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {session.get_inputs()[0].name: samples})
    return np.asarray(out)


def kinds(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_model_from_string(content).graph.node]


def node(kind: str, inputs: list[str], out: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [out], **attributes)


NETWORKS: dict[str, tuple[list[onnx.NodeProto], Constants]] = {
    "strides, padding and dilation": (
        [
            node("Conv", ["samples", "w"], "a", strides=[2], pads=[2, 1]),
            node("Relu", ["a"], "b"),
            node("Conv", ["b", "v", "bias"], "out", dilations=[3]),
        ],
        {"w": weights(4, CHANNELS, 5), "v": weights(2, 4, 3), "bias": weights(2)},
    ),
    "transposed, with an odd length": (
        [
            node("Conv", ["samples", "w"], "a", strides=[2]),
            node("ConvTranspose", ["a", "v"], "out", strides=[2], output_padding=[1]),
        ],
        {"w": weights(4, CHANNELS, 3), "v": weights(4, 2, 3)},
    ),
    "a residual, and what needs no row": (
        [
            node("Conv", ["samples", "w"], "a", auto_pad="SAME_UPPER"),
            node("Clip", ["a", "low"], "b"),
            node("Add", ["a", "b"], "c"),
            node("Add", ["c", "samples"], "d"),
            node("ReduceMean", ["d"], "out", axes=[2], keepdims=1),
        ],
        {"w": weights(CHANNELS, CHANNELS, 3), "low": np.array(-0.5, np.float32)},
    ),
    "a weight that two nodes share": (
        [
            node("Conv", ["samples", "w"], "a"),
            node("Conv", ["a", "w"], "b"),
            node("MatMul", ["b", "flat"], "out"),
        ],
        {"w": weights(CHANNELS, CHANNELS, 3), "flat": weights(TIME - 4, 1)},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_computes_the_same(name: str) -> None:
    nodes, constants = NETWORKS[name]
    content = model(nodes, constants)
    samples = weights(5, CHANNELS, TIME)
    changed = lifted(content)
    assert changed != content
    np.testing.assert_allclose(run(changed, samples), run(content, samples), rtol=1e-4, atol=1e-5)
    assert lifted(changed) == changed, "nothing is left to lift"


def test_the_row_is_kept_from_the_first_convolution_to_the_last() -> None:
    found = kinds(lifted(build()))
    assert (found.count("Unsqueeze"), found.count("Squeeze")) == (1, 1)


def test_what_has_no_convolution_over_time_stays_as_it_is() -> None:
    nodes = [node("Relu", ["samples"], "out")]
    assert lifted(model(nodes, {})) == model(nodes, {})


def test_an_older_opset_is_refused_with_a_remedy() -> None:
    nodes = [node("Conv", ["samples", "w"], "out")]
    with pytest.raises(ValueError, match="export the model with 13 or later"):
        lifted(model(nodes, {"w": weights(2, CHANNELS, 3)}, opset=11))
