"""Convolutions over time, lifted to two dimensions, are the same network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.fleet.model import build
from models.train.lift import lifted, main

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


W = weights(4, CHANNELS, 3)
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
    "transposed, to a length": (
        [
            node("Conv", ["samples", "w"], "a", strides=[2]),
            node("ConvTranspose", ["a", "v"], "out", strides=[2], output_shape=[30]),
        ],
        {"w": weights(4, CHANNELS, 3), "v": weights(4, 2, 3)},
    ),
    "groups, a normalisation and an upsampling between its neighbours": (
        [
            node("Conv", ["samples", "w"], "a", group=3),
            node("BatchNormalization", ["a", "one", "shift", "shift", "one"], "b"),
            node("LeakyRelu", ["b"], "c", alpha=0.3),
            node("Resize", ["c", "", "scales"], "d", mode="linear"),
            node("Conv", ["d", "v"], "out"),
        ],
        {
            "w": weights(6, 1, 3),
            "v": weights(2, 6, 3),
            "one": np.full(6, 1.5, np.float32),
            "shift": weights(6),
            "scales": np.array([1, 1, 2], np.float32),
        },
    ),
    "a weight from a node, and names that are taken": (
        [
            helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W)),
            node("Conv", ["samples", "w"], "row_axis"),
            node("Conv", ["row_axis", "w_row"], "a"),
            node("MatMul", ["a", "flat"], "b"),
            node("Add", ["b", "four"], "out"),
        ],
        {
            "w_row": weights(2, 4, 3),
            "flat": weights(TIME - 4, 1),
            "four": weights(1, 1, 1),
        },
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


def test_the_benchmark_s_model_scores_the_same() -> None:
    samples = weights(3, 256, 6)
    scores = run(build(), samples)
    np.testing.assert_allclose(run(lifted(build()), samples), scores, rtol=1e-6)


def test_a_weight_that_a_caller_may_replace_stays_an_input() -> None:
    content = onnx.load_model_from_string(model([node("Conv", ["samples", "w"], "out")], {"w": W}))
    content.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, W.shape))
    serialised = content.SerializeToString()
    assert lifted(serialised) == serialised


def test_a_node_of_another_domain_is_not_taken_for_onnx_s() -> None:
    nodes = [
        node("Conv", ["samples", "w"], "a"),
        node("Gelu", ["a"], "out", domain="com.microsoft"),
    ]
    content = onnx.load_model_from_string(model(nodes, {"w": W}))
    content.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    serialised = content.SerializeToString()
    assert kinds(lifted(serialised)) == ["Unsqueeze", "Conv", "Squeeze", "Gelu"]
    samples = weights(2, CHANNELS, TIME)
    np.testing.assert_allclose(run(lifted(serialised), samples), run(serialised, samples), 1e-5)


def test_the_command_writes_the_model_or_says_why_not(tmp_path: Path) -> None:
    exported, prepared = tmp_path / "exported.onnx", tmp_path / "model.onnx"
    exported.write_bytes(build())
    assert main([str(exported), str(prepared)]) == ""
    assert prepared.read_bytes() == lifted(build())
    assert "nothing to prepare" in main([str(prepared), str(tmp_path / "again.onnx")])
    assert not (tmp_path / "again.onnx").exists()
    assert "usage" in main([str(exported)])


def test_what_has_no_convolution_over_time_stays_as_it_is() -> None:
    nodes = [node("Relu", ["samples"], "out")]
    assert lifted(model(nodes, {})) == model(nodes, {})


def test_an_older_opset_is_refused_with_a_remedy() -> None:
    nodes = [node("Conv", ["samples", "w"], "out")]
    with pytest.raises(ValueError, match="export the model with 13 or later"):
        lifted(model(nodes, {"w": weights(2, CHANNELS, 3)}, opset=11))
