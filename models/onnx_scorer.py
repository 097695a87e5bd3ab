"""Scores windows with ONNX models from a folder: the `Scorer` port."""

import logging

import numpy as np

from fleetpulse.effects import F32
from fleetpulse.errors import ConfigError
from fleetpulse.settings import ModelSettings
from models.card import Card
from models.gates import check_golden, check_signature, is_batch_invariant
from models.registry import FolderRegistry
from models.session import BATCH_MAX, Session

log = logging.getLogger(__name__)


class OnnxScorer:
    """One session per model version, opened and checked when it is first asked for."""

    def __init__(self, settings: ModelSettings) -> None:
        self._registry = FolderRegistry(settings.folder)
        self._models: dict[str, _Checked] = {}

    def score(self, model: str, samples: F32) -> F32:
        """float32 [n, window, channels] -> float32 [n]; bits do not depend on n or position.

        Raises ConfigError when the model is unknown, fails a gate or takes another shape.
        """
        return self._checked(model).score(samples)

    def open_all(self) -> None:
        """Open the folder's models ahead; one that cannot be used raises only when asked."""
        for ref in self._registry.refs():
            try:
                self._checked(ref)
            except ConfigError as error:
                log.warning("model %s: %s", ref, error)

    def card(self, model: str) -> Card:
        """What is known about a version; raises ConfigError."""
        return self._checked(model).card

    def _checked(self, model: str) -> "_Checked":
        if model not in self._models:
            self._models[model] = _Checked(self._registry, model)
        return self._models[model]


class _Checked:
    def __init__(self, registry: FolderRegistry, ref: str) -> None:
        version = registry.load(ref)
        self.card = version.card
        self._shape = (version.card.input.window, len(version.card.input.channels))
        self._session = Session(version.card, version.onnx)
        check_signature(version.card, self._session)
        check_golden(version.card, self._session, version.golden)
        self._padded = not is_batch_invariant(self._session, version.golden)
        if self._padded:
            log.warning(
                "model %s is not batch invariant: every run is padded to %d", ref, BATCH_MAX
            )

    def score(self, samples: F32) -> F32:
        if samples.shape[1:] != self._shape:
            raise ConfigError(
                f"model {self.card.ref}: takes windows of {list(self._shape)}, "
                f"not {list(samples.shape[1:])}"
            )
        scores = np.empty(len(samples), np.float32)
        for at in range(0, len(samples), BATCH_MAX):
            part = samples[at : at + BATCH_MAX]
            scores[at : at + len(part)] = self._run(part)[: len(part)]
        return scores

    def _run(self, part: F32) -> F32:
        if self._padded and len(part) < BATCH_MAX:
            padded = np.zeros((BATCH_MAX, *self._shape), np.float32)
            padded[: len(part)] = part
            return self._session.run(padded)
        return self._session.run(part)
