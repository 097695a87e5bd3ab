"""One ONNX Runtime session: one thread, CPU, float32 windows in, float32 scores out."""

from typing import Final

import numpy as np
import onnxruntime

from fleetpulse.effects import F32
from fleetpulse.errors import ConfigError
from models.card import Card

BATCH_MAX: Final = 64
"""Windows of one run: beyond it a batch gains nothing and bit equality was not checked."""


class Session:
    """A loaded model. Safe to call from several threads."""

    def __init__(self, card: Card, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors share no public base class
            raise ConfigError(f"model {card.ref}: cannot be loaded: {error}") from error
        self.inputs = [(i.name, i.type, tuple(i.shape)) for i in self._session.get_inputs()]
        self.outputs = [(o.name, o.type, tuple(o.shape)) for o in self._session.get_outputs()]
        self._input, self._output = card.input.name, card.output

    def run(self, samples: F32) -> F32:
        """float32 [n, window, channels], n at most BATCH_MAX -> float32 [n]."""
        (scores,) = self._session.run(
            [self._output], {self._input: np.ascontiguousarray(samples, np.float32)}
        )
        return np.asarray(scores, np.float32)
