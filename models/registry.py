"""Model versions in a folder: `name@version/{model.onnx,card.yaml,golden.npz}`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fleetpulse.effects import F32
from fleetpulse.errors import ConfigError
from models.card import Card, read_card, sha256_of

_REF: Final = re.compile(r"[A-Za-z0-9._-]+@[0-9]+")


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs and the scores that a model must give for them. samples: [n, window, channels]."""

    samples: F32
    scores: F32


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Everything a registry keeps about one version."""

    card: Card
    onnx: bytes
    golden: Golden


class FolderRegistry:
    """Reads and writes model versions; a version never changes once it is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def refs(self) -> list[str]:
        """Known `name@version`s, sorted."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if _REF.fullmatch(path.name))

    def load(self, ref: str) -> ModelVersion:
        """Read a version; raises ConfigError if it is unknown, incomplete or was changed."""
        folder = self._folder / ref
        if not _REF.fullmatch(ref) or not folder.is_dir():
            known = ", ".join(self.refs()) or "none"
            raise ConfigError(f"model {ref} is not in {self._folder} (known: {known})")
        card = read_card(folder / "card.yaml")
        if card.ref != ref:
            raise ConfigError(f"{folder / 'card.yaml'}: describes {card.ref}, not {ref}")
        try:
            content = (folder / "model.onnx").read_bytes()
            with np.load(folder / "golden.npz", allow_pickle=False) as arrays:
                golden = Golden(arrays["samples"], arrays["scores"])
        except (OSError, KeyError, ValueError) as error:
            raise ConfigError(f"model {ref}: {error}") from error
        if sha256_of(content) != card.sha256:
            raise ConfigError(f"{folder / 'model.onnx'}: its checksum is not the card's sha256")
        return ModelVersion(card, content, golden)

    def store(self, version: ModelVersion) -> Path:
        """Write a version; raises ConfigError if another one with this name is there."""
        folder = self._folder / version.card.ref
        if (folder / "card.yaml").exists():
            raise ConfigError(f"model {version.card.ref} is already in {self._folder}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(version.onnx)
        np.savez(
            folder / "golden.npz", samples=version.golden.samples, scores=version.golden.scores
        )
        (folder / "card.yaml").write_text(version.card.to_yaml(), encoding="utf-8")
        return folder
