"""The whole scorer as one ONNX graph: samples in, score out."""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fleetpulse.effects import F64
from models.train.principal import NORM, Principal
from models.train.spectral import BANDS, CHANNELS, LEVEL_FROM, POWER_FLOOR, WINDOW, Recipe

_OPSET: Final = 17
_IR_VERSION: Final = 8
_SAMPLE_MAX: Final = 1e6
_DEVIATION_MAX: Final = 1e3
"""Clips keep every intermediate finite: any finite window gets a finite score."""


def build(recipe: Recipe, principal: Principal) -> bytes:
    """Serialised model: `samples` float32 [batch, 256, 6] -> `score` float32 [batch]."""
    assert NORM == 8, "the graph squares three times and takes three square roots"
    floats: dict[str, F64] = {
        "sample_min": np.array(-_SAMPLE_MAX),
        "sample_max": np.array(_SAMPLE_MAX),
        "spectrum": recipe.spectrum,
        "bands": recipe.bands,
        "gain": recipe.gain,
        "power_floor": np.array(POWER_FLOOR),
        "mean": principal.mean,
        "inverse_scale": 1.0 / principal.scale,
        "deviation_min": np.array(-_DEVIATION_MAX),
        "deviation_max": np.array(_DEVIATION_MAX),
        "deviations": principal.deviations,
    }
    integers = {
        "log_shape": [-1, CHANNELS * BANDS],
        "level_from": [LEVEL_FROM],
        "level_to": [CHANNELS],
        "channel_axis": [1],
    }
    constants = [
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in floats.items()
    ] + [
        numpy_helper.from_array(np.asarray(value, np.int64), name)
        for name, value in integers.items()
    ]
    graph = helper.make_graph(
        _nodes(),
        "rotating-ae",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", WINDOW, CHANNELS])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def _nodes() -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node("Clip", ["samples", "sample_min", "sample_max"], ["bounded"]),
        node("Transpose", ["bounded"], ["channels"], perm=[0, 2, 1]),
        node("MatMul", ["channels", "spectrum"], ["waves"]),
        node("Mul", ["waves", "waves"], ["energy"]),
        node("MatMul", ["energy", "bands"], ["power"]),
        node("Mul", ["power", "gain"], ["relative_power"]),
        node("Add", ["relative_power", "power_floor"], ["floored_power"]),
        node("Log", ["floored_power"], ["log_power"]),
        node("Reshape", ["log_power", "log_shape"], ["logs"]),
        node("Slice", ["channels", "level_from", "level_to", "channel_axis"], ["slow"]),
        node("ReduceMean", ["slow"], ["levels"], axes=[2], keepdims=0),
        node("Concat", ["logs", "levels"], ["features"], axis=1),
        node("Sub", ["features", "mean"], ["centred"]),
        node("Mul", ["centred", "inverse_scale"], ["standard"]),
        node("Clip", ["standard", "deviation_min", "deviation_max"], ["clipped"]),
        node("MatMul", ["clipped", "deviations"], ["deviation"]),
        node("Mul", ["deviation", "deviation"], ["power_2"]),
        node("Mul", ["power_2", "power_2"], ["power_4"]),
        node("Mul", ["power_4", "power_4"], ["power_8"]),
        node("ReduceMean", ["power_8"], ["mean_power"], axes=[1], keepdims=0),
        node("Sqrt", ["mean_power"], ["root_2"]),
        node("Sqrt", ["root_2"], ["root_4"]),
        node("Sqrt", ["root_4"], ["score"]),
    ]
