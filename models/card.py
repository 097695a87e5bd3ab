"""The card of a model version: what it takes, what its score means, how it came to be."""

import hashlib
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleetpulse.errors import ConfigError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Input(_Frozen):
    """The windows a model takes: float32 [batch, window, channels]."""

    name: str
    window: int = Field(ge=1)
    channels: tuple[str, ...] = Field(min_length=1)
    rate_hz: float = Field(gt=0)


class Threshold(_Frozen):
    """The score above which a window is unusual, and how it was set."""

    value: float = Field(gt=0)
    method: str
    healthy_quantiles: dict[str, float]
    """Of validation scores, by probability."""


class Training(_Frozen):
    """What the model was fitted on, and by which program."""

    code: str
    data: str
    windows: int
    seed: int


class Card(_Frozen):
    """`card.yaml` of a model version."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    version: int = Field(ge=1)
    kind: Literal["stateless"]
    input: Input
    output: str
    """Name of the output: float32 [batch], higher is more unusual."""
    features: str
    threshold: Threshold
    training: Training
    detection: dict[str, dict[str, float]]
    """By fault: share met and seconds from onset to the alert, on simulated devices."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of model.onnx."""

    @property
    def ref(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    def to_yaml(self) -> str:
        """The text of `card.yaml`."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=100)


def read_card(path: Path) -> Card:
    """Parse and validate; raises ConfigError naming file and field."""
    try:
        return Card.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "card"
        raise ConfigError(f"{path}: {field}: {first['msg']}") from error


def sha256_of(content: bytes) -> str:
    """What a card's `sha256` must be."""
    return hashlib.sha256(content).hexdigest()
