"""1-D convolutions as 2-D ones over a single row, which ONNX Runtime has vectorised.

`python -m models.train.lift exported.onnx model.onnx`, before a version is registered: a network
of convolutions over time then takes about half as long per window; its scores change in their last
bits.
"""

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

_ROW_AXIS: Final = 2
"""[batch, channel, time] becomes [batch, channel, row, time]."""
_ROW_AXIS_NAME: Final = "row_axis"
_AXES_AS_INPUT: Final = 13
"""Opset from which Squeeze and Unsqueeze take their axes so."""
_CONVOLUTIONS: Final = frozenset({"Conv", "ConvTranspose"})
_SAME_SHAPE: Final = frozenset(
    {"Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Clip", "BatchNormalization", "Identity"}
)
"""Their first input has the shape of their output, the others know nothing of time."""
_PER_AXIS: Final = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0}
"""Attributes with one number per axis, and that of the row."""


def lifted(content: bytes) -> bytes:
    """The same network, serialised; unchanged without 1-D convolutions, or with control flow.

    Raises ValueError for an opset before 13, and onnx's errors for what is no valid model.
    """
    model = onnx.load_model_from_string(content)
    opset = next(each.version for each in model.opset_import if not each.domain)
    if opset < _AXES_AS_INPUT:
        raise ValueError(f"opset {opset}: export the model with {_AXES_AS_INPUT} or later")
    if any(each.HasField("g") for node in model.graph.node for each in node.attribute):
        return content  # what is inside may need any tensor of the outside
    if not _Lift(model.graph).run():
        return content
    onnx.checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


class _Lift:
    """Goes through a graph in order; what follows a convolution keeps the row while it can."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {each.name: each for each in graph.initializer}
        self._with_row: dict[str, str] = {}
        """Tensor -> the same with a row."""
        self._plain = {*self._constants, *(each.name for each in graph.input), ""}
        self._nodes: list[NodeProto] = []

    def run(self) -> bool:
        """Change the graph; False if there is nothing to change."""
        for node in self._graph.node:
            if (others := self._others(node)) is not None:
                self._lift(node, others)
                continue
            for name in node.input:
                self._lower(name)
            self._nodes.append(node)
            self._plain |= set(node.output)
        for each in self._graph.output:
            self._lower(each.name)
        if not self._with_row:
            return False
        axis = numpy_helper.from_array(np.array([_ROW_AXIS], np.int64), _ROW_AXIS_NAME)
        self._graph.initializer.append(axis)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input}
        kept = [each for each in self._graph.initializer if each.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)
        return True

    def _others(self, node: NodeProto) -> list[str] | None:
        """Inputs but the first of the node with a row; None if it stays as it is."""
        kind, inputs = node.op_type, list(node.input)
        if kind in _CONVOLUTIONS:
            weight = self._array(inputs[1])
            if weight is None or weight.ndim != _ROW_AXIS + 1:
                return None
            return [self._changed(inputs[1], np.expand_dims(weight, _ROW_AXIS)), *inputs[2:]]
        if not inputs or inputs[0] not in self._with_row:
            return None
        if kind in _SAME_SHAPE:
            return inputs[1:]
        if kind == "Add" and inputs[1] in self._with_row:
            return [self._with_row[inputs[1]]]
        if kind == "Resize" and len(inputs) == 3 and "axes" not in _attributes(node):
            scales = self._array(inputs[2])
            if scales is not None:
                return [inputs[1], self._changed(inputs[2], np.insert(scales, _ROW_AXIS, 1))]
        return None

    def _lift(self, node: NodeProto, others: list[str]) -> None:
        source, target = node.input[0], node.output[0]
        if source not in self._with_row:
            self._with_row[source] = f"{source}_row"
            inputs, outputs = [source, _ROW_AXIS_NAME], [self._with_row[source]]
            self._nodes.append(helper.make_node("Unsqueeze", inputs, outputs))
        attributes = _attributes(node)
        for name, of_row in _PER_AXIS.items():
            if name in attributes:
                attributes[name] = [of_row, *attributes[name]]
        if "pads" in attributes:
            before, after = attributes["pads"]
            attributes["pads"] = [0, before, 0, after]
        self._with_row[target] = f"{target}_row"
        inputs, outputs = [self._with_row[source], *others], [self._with_row[target]]
        self._nodes.append(helper.make_node(node.op_type, inputs, outputs, **attributes))

    def _lower(self, name: str) -> None:
        """Someone needs this tensor without a row."""
        if name not in self._plain:
            inputs = [self._with_row[name], _ROW_AXIS_NAME]
            self._nodes.append(helper.make_node("Squeeze", inputs, [name]))
            self._plain.add(name)

    def _array(self, name: str) -> NDArray[Any] | None:
        constant = self._constants.get(name)
        return None if constant is None else numpy_helper.to_array(constant)

    def _changed(self, name: str, array: NDArray[Any]) -> str:
        """The constant for a node with a row; others may still need it as it was."""
        new = f"{name}_row"
        if new not in self._constants:
            values = numpy_helper.from_array(np.ascontiguousarray(array), new)
            self._graph.initializer.append(values)
            self._constants[new] = values
        return new


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


if __name__ == "__main__":
    exported, prepared = map(Path, sys.argv[1:])
    prepared.write_bytes(lifted(exported.read_bytes()))
