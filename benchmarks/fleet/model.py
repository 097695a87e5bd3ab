"""The job's model: a convolutional autoencoder of six layers with seeded weights.

It scores a window by the mean square of what it fails to reconstruct. 16,838 parameters. All
contenders run it as it is registered: prepared by models.train.lift, or as exported.
"""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.fleet.job import CHANNELS, RATE_HZ, WINDOW
from models.card import Card, Input, Threshold, Training, sha256_of
from models.registry import FolderRegistry, Golden, ModelVersion
from models.train.lift import lifted

REF: Final = "fleet-ae@1"
CHANNEL_NAMES: Final = ("vib_x", "vib_y", "vib_z", "temperature_c", "current_a", "pressure_bar")
THRESHOLD: Final = 1e6
"""No alert: what alerting costs is not part of the job."""
_SEED: Final = 7
_OPSET: Final = 17
_IR_VERSION: Final = 8
_GOLDEN_WINDOWS: Final = 8
# in, out, kernel, stride, upsampled before
_LAYERS: Final = (
    (6, 16, 7, 2, False),
    (16, 32, 5, 2, False),
    (32, 32, 5, 2, False),
    (32, 32, 5, 1, True),
    (32, 16, 5, 1, True),
    (16, 6, 7, 1, True),
)


def store(folder: Path, *, as_exported: bool = False) -> Path:
    """Write the model version with card and golden scores; returns the path of model.onnx."""
    content = build() if as_exported else lifted(build())
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    shape = (_GOLDEN_WINDOWS, WINDOW, CHANNELS)
    samples = np.random.default_rng(_SEED).standard_normal(shape, dtype=np.float32)
    (scores,) = session.run(["score"], {"samples": samples})
    card = Card(
        name=REF.split("@")[0],
        version=int(REF.split("@")[1]),
        kind="stateless",
        input=Input(name="samples", window=WINDOW, channels=CHANNEL_NAMES, rate_hz=RATE_HZ),
        output="score",
        features="mean square of the reconstruction's error",
        threshold=Threshold(value=THRESHOLD, method="out of reach", healthy_quantiles={}),
        training=Training(code=__name__, data="none: seeded weights", windows=0, seed=_SEED),
        detection={},
        sha256=sha256_of(content),
    )
    version = ModelVersion(card, content, Golden(samples, np.asarray(scores, np.float32)))
    return FolderRegistry(folder).store(version) / "model.onnx"


def build() -> bytes:
    """`samples` float32 [batch, 256, 6] -> `score` float32 [batch], serialised."""
    random = np.random.default_rng(_SEED)
    constants = [numpy_helper.from_array(np.array([1, 1, 2], np.float32), "twice")]
    nodes = [helper.make_node("Transpose", ["samples"], ["hidden"], perm=[0, 2, 1])]
    current = "hidden"
    for number, (taken, given, kernel, stride, upsampled) in enumerate(_LAYERS):
        scale = np.sqrt(1.0 / (taken * kernel))
        weight = random.standard_normal((given, taken, kernel)) * scale
        bias = random.standard_normal(given) * 0.01
        constants.append(numpy_helper.from_array(weight.astype(np.float32), f"weight{number}"))
        constants.append(numpy_helper.from_array(bias.astype(np.float32), f"bias{number}"))
        if upsampled:
            nodes.append(_upsampled(current, f"wide{number}"))
            current = f"wide{number}"
        inputs = [current, f"weight{number}", f"bias{number}"]
        current = f"layer{number}"
        pads = [kernel // 2, kernel // 2]
        nodes.append(
            helper.make_node(
                "Conv", inputs, [current], kernel_shape=[kernel], strides=[stride], pads=pads
            )
        )
        if number < len(_LAYERS) - 1:
            nodes.append(helper.make_node("Relu", [current], [f"active{number}"]))
            current = f"active{number}"
    nodes += [
        helper.make_node("Transpose", [current], ["rebuilt"], perm=[0, 2, 1]),
        helper.make_node("Sub", ["samples", "rebuilt"], ["error"]),
        helper.make_node("Mul", ["error", "error"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["score"], axes=[1, 2], keepdims=0),
    ]
    shape: list[str | int | None] = ["batch", WINDOW, CHANNELS]
    graph = helper.make_graph(
        nodes,
        "fleet-ae",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def _upsampled(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node(
        "Resize",
        [source, "", "twice"],
        [target],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
