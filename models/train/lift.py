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
from onnx import ModelProto, NodeProto, helper, numpy_helper

_ROW_AXIS: Final = 2
"""[batch, channel, time] becomes [batch, channel, row, time]."""
_OWN_OPSET: Final = ("", "ai.onnx")
_AXES_AS_INPUT: Final = 13
"""Opset from which Squeeze and Unsqueeze take their axes so."""
_CONVOLUTIONS: Final = frozenset({"Conv", "ConvTranspose"})
_SAME_SHAPE: Final = frozenset(
    {"Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Clip", "BatchNormalization", "Identity"}
)
"""Their first input has the shape of their output, the others know nothing of time."""
_PER_AXIS: Final = {
    "kernel_shape": 1,
    "strides": 1,
    "dilations": 1,
    "output_padding": 0,
    "output_shape": 1,
}
"""Attributes with one number per axis, and that of the row."""


def lifted(content: bytes) -> bytes:
    """The same network, serialised; unchanged where `to_lift` finds nothing, or control flow.

    Raises ValueError for an opset before 13, and onnx's errors for what is no valid model.
    """
    model = onnx.load_model_from_string(content)
    if not to_lift(model) or any(
        each.HasField("g") for node in model.graph.node for each in node.attribute
    ):
        return content  # what is inside of control flow may need any tensor of the outside
    opset = next(each.version for each in model.opset_import if each.domain in _OWN_OPSET)
    if opset < _AXES_AS_INPUT:
        raise ValueError(f"opset {opset}: export the model with {_AXES_AS_INPUT} or later")
    _Lift(model.graph).run()
    onnx.checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def to_lift(model: ModelProto) -> int:
    """How many 1-D convolutions there are whose weights are constants of the graph."""
    constants = _constants(model.graph)
    return sum(_weight(node, constants) is not None for node in model.graph.node)


class _Lift:
    """Goes through a graph in order; what follows a convolution keeps the row while it can."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = _constants(graph)
        self._taken = {name for node in graph.node for name in (*node.input, *node.output)}
        self._taken |= {each.name for each in graph.initializer}
        self._taken |= {each.name for each in (*graph.input, *graph.output)}
        self._row_axis = self._fresh("row_axis")
        self._with_row: dict[str, str] = {}
        """Tensor -> the same with a row; constant -> that of nodes with a row."""
        self._without: set[str] = set()
        """Those that were computed with a row and are there without one too."""
        self._nodes: list[NodeProto] = []

    def run(self) -> None:
        """Change the graph."""
        for node in self._graph.node:
            others = self._others(node)
            if others is not None:
                self._lift(node, others)
                continue
            for name in node.input:
                self._lower(name)
            self._nodes.append(node)
        for each in self._graph.output:
            self._lower(each.name)
        axis = numpy_helper.from_array(np.array([_ROW_AXIS], np.int64), self._row_axis)
        self._graph.initializer.append(axis)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        self._drop_unused()

    def _others(self, node: NodeProto) -> list[str] | None:
        """Inputs but the first of the node with a row; None if it stays as it is."""
        inputs = list(node.input)
        weight = _weight(node, self._constants)
        if weight is not None:
            return [self._changed(inputs[1], np.expand_dims(weight, _ROW_AXIS)), *inputs[2:]]
        if node.domain not in _OWN_OPSET or len(node.output) != 1:
            return None
        if not inputs or inputs[0] not in self._with_row:
            return None
        if node.op_type in _SAME_SHAPE:
            return inputs[1:]
        if node.op_type == "Add" and inputs[1] in self._with_row:
            return [self._with_row[inputs[1]]]
        if node.op_type == "Resize" and len(inputs) == 3 and not inputs[1]:
            scales = self._constants.get(inputs[2])
            if scales is not None and "axes" not in _attributes(node):
                return ["", self._changed(inputs[2], np.insert(scales, _ROW_AXIS, 1))]
        return None

    def _lift(self, node: NodeProto, others: list[str]) -> None:
        source, target = node.input[0], node.output[0]
        if source not in self._with_row:
            self._with_row[source] = self._fresh(f"{source}_row")
            self._without.add(source)
            inputs, outputs = [source, self._row_axis], [self._with_row[source]]
            self._nodes.append(helper.make_node("Unsqueeze", inputs, outputs))
        attributes = _attributes(node)
        for name, of_row in _PER_AXIS.items():
            if name in attributes:
                attributes[name] = [of_row, *attributes[name]]
        if "pads" in attributes:
            before, after = attributes["pads"]
            attributes["pads"] = [0, before, 0, after]
        self._with_row[target] = self._fresh(f"{target}_row")
        inputs, outputs = [self._with_row[source], *others], [self._with_row[target]]
        self._nodes.append(
            helper.make_node(node.op_type, inputs, outputs, name=node.name, **attributes)
        )

    def _lower(self, name: str) -> None:
        """Someone needs this tensor without a row."""
        if name in self._with_row and name not in self._without and name not in self._constants:
            inputs = [self._with_row[name], self._row_axis]
            self._nodes.append(helper.make_node("Squeeze", inputs, [name]))
            self._without.add(name)

    def _changed(self, name: str, array: NDArray[Any]) -> str:
        """The constant for nodes with a row; others may still need it as it was."""
        if name not in self._with_row:
            new = self._with_row[name] = self._fresh(f"{name}_row")
            values = numpy_helper.from_array(np.ascontiguousarray(array), new)
            self._graph.initializer.append(values)
        return self._with_row[name]

    def _fresh(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _drop_unused(self) -> None:
        used = {name for node in self._nodes for name in node.input}
        used |= {each.name for each in (*self._graph.input, *self._graph.output)}
        kept = [each for each in self._graph.initializer if each.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """Initializers that nobody can override, and what Constant nodes say."""
    inputs = {each.name for each in graph.input}
    found = {
        each.name: numpy_helper.to_array(each)
        for each in graph.initializer
        if each.name not in inputs
    }
    for node in graph.node:
        if node.op_type == "Constant" and "value" in (attributes := _attributes(node)):
            found[node.output[0]] = numpy_helper.to_array(attributes["value"])
    return found


def _weight(node: NodeProto, constants: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
    """Of a 1-D convolution whose weight is constant."""
    if node.domain not in _OWN_OPSET or node.op_type not in _CONVOLUTIONS:
        return None
    weight = constants.get(node.input[1])
    return weight if weight is not None and weight.ndim == _ROW_AXIS + 1 else None


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def main(arguments: list[str]) -> str:
    """For people; answers what to tell them at the end, empty if all is well."""
    if len(arguments) != 2:
        return "usage: python -m models.train.lift EXPORTED.onnx PREPARED.onnx"
    exported, prepared = map(Path, arguments)
    content = exported.read_bytes()
    changed = lifted(content)
    if changed == content:
        return f"{exported}: no convolution over time with constant weights, nothing to prepare"
    prepared.write_bytes(changed)
    print(f"{prepared}: {to_lift(onnx.load_model_from_string(content))} convolutions prepared")
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
