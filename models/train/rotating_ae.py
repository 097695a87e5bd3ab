"""Fit rotating-ae on simulated healthy machines and write it into the registry.

python -m models.train.rotating_ae [FOLDER]
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fleetpulse.effects import F32
from fleetpulse.settings import ModelSettings
from models.card import Card, Input, Threshold, Training, sha256_of
from models.gates import check_signature, is_batch_invariant
from models.registry import FolderRegistry, Golden, ModelVersion
from models.session import BATCH_MAX, Session
from models.train.graph import build
from models.train.principal import Principal
from models.train.simulated import healthy_windows, ill_windows
from models.train.spectral import BAND_EDGES_HZ, RATE_HZ, WINDOW, Recipe
from simulator.machine import CHANNELS
from simulator.schedule import Fault

NAME: Final = "rotating-ae"
VERSION: Final = 1
CODE: Final = 8
MARGIN: Final = 1.15
_RAISE_AFTER: Final = 2
_PROBABILITIES: Final = (0.5, 0.99, 0.999, 0.9999, 1.0)
_GOLDEN_HEALTHY: Final = 12
_GOLDEN_ILL: Final = 5


@dataclass(frozen=True, slots=True)
class Size:
    """How much data a fit uses."""

    devices: int = 4000
    training_windows: int = 40_000
    validation_windows: int = 200_000
    ill_devices: int = 500
    seed: int = 20_240


def train(size: Size) -> ModelVersion:
    """Fit, set the threshold on other machines, measure detection on yet others."""
    windows = healthy_windows(size.seed, size.devices, size.training_windows)
    recipe = Recipe.learn(windows)
    content = build(recipe, Principal.fit(recipe.features(windows), CODE))
    draft = _card(content, size)
    session = Session(draft, content)
    check_signature(draft, session)
    healthy = healthy_windows(size.seed + 1, size.devices, size.validation_windows)
    quantiles = np.quantile(_scores(session, healthy), _PROBABILITIES)
    threshold = Threshold(
        value=round(float(quantiles[-2]) * MARGIN, 3),
        method=(
            f"{_PROBABILITIES[-2]} quantile of {size.validation_windows} healthy windows of "
            f"machines that were not trained on, times {MARGIN}; target: less than one false "
            "alert per 1000 machine hours with raise_after 2"
        ),
        healthy_quantiles={
            str(p): round(float(q), 4) for p, q in zip(_PROBABILITIES, quantiles, strict=True)
        },
    )
    golden = _golden(session, size.seed + 2)
    if not is_batch_invariant(session, golden):
        raise SystemExit("the exported graph is not batch invariant")
    detection = {str(fault): _detection(session, fault, size, threshold.value) for fault in Fault}
    card = draft.model_copy(update={"threshold": threshold, "detection": detection})
    return ModelVersion(card, content, golden)


def _card(content: bytes, size: Size) -> Card:
    edges = ", ".join(f"{edge:g}" for edge in BAND_EDGES_HZ)
    return Card(
        name=NAME,
        version=VERSION,
        kind="stateless",
        input=Input(name="samples", window=WINDOW, channels=CHANNELS, rate_hz=RATE_HZ),
        output="score",
        features=(
            "mean removed, Hann window, power in bands with edges at "
            f"{edges} Hz relative to the healthy median, logarithm; mean of temperature, current "
            f"and pressure; standardised. Linear autoencoder with {CODE} principal axes; score: "
            "8-norm mean of code and reconstruction error in healthy standard deviations."
        ),
        threshold=Threshold(value=1.0, method="not set", healthy_quantiles={}),
        training=Training(
            code="models/train/rotating_ae.py",
            data=f"simulator.machine.Machines, {size.devices} healthy machines over 35 hours",
            windows=size.training_windows,
            seed=size.seed,
        ),
        detection={},
        sha256=sha256_of(content),
    )


def _scores(session: Session, windows: F32) -> F32:
    chunks = range(0, len(windows), BATCH_MAX)
    return np.concatenate([session.run(windows[at : at + BATCH_MAX]) for at in chunks])


def _detection(session: Session, fault: Fault, size: Size, threshold: float) -> dict[str, float]:
    windows, after_s = ill_windows(fault, size.seed + 3, size.ill_devices)
    scores = _scores(session, windows.reshape(-1, *windows.shape[2:])).reshape(after_s.shape)
    over = scores > threshold
    alert = over[:, 1:] & over[:, :-1]
    met = alert.any(1)
    seconds = after_s[met, alert[met].argmax(1) + _RAISE_AFTER - 1]
    return {
        "met": round(float(met.mean()), 4),
        "seconds_p50": round(float(np.quantile(seconds, 0.5)), 2),
        "seconds_p90": round(float(np.quantile(seconds, 0.9)), 2),
    }


def _golden(session: Session, seed: int) -> Golden:
    ill = [ill_windows(fault, seed, _GOLDEN_ILL)[0][:, 3] for fault in Fault]
    samples = np.concatenate([healthy_windows(seed, 64, _GOLDEN_HEALTHY), *ill])
    return Golden(samples, _scores(session, samples))


def main() -> None:
    """Train at full size and store the version."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ModelSettings().folder
    version = train(Size())
    print(version.card.to_yaml())
    print(FolderRegistry(folder).store(version))


if __name__ == "__main__":
    main()
