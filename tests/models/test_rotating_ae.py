"""The shipped model: made by its script, fitting its profile, meeting the simulator's faults."""

import numpy as np
import pytest

from fleetpulse.profile import profile_from_yaml
from fleetpulse.settings import ModelSettings, Settings
from models.card import Card
from models.onnx_scorer import OnnxScorer
from models.train.rotating_ae import Size, train
from models.train.simulated import healthy_windows, ill_windows
from simulator.schedule import Fault

SHIPPED = "rotating-ae@1"


@pytest.fixture(scope="module")
def scorer() -> OnnxScorer:
    return OnnxScorer(ModelSettings())


@pytest.fixture(scope="module")
def card(scorer: OnnxScorer) -> Card:
    return scorer.card(SHIPPED)


def test_the_profile_is_made_for_the_model(card: Card) -> None:
    path = Settings().profiles_folder / "rotating-machine.yaml"
    profile = profile_from_yaml(path.read_text(encoding="utf-8"))
    assert profile.model == SHIPPED
    assert profile.channels == card.input.channels
    assert profile.rate_hz == card.input.rate_hz
    assert profile.window.size == card.input.window
    assert profile.alert.threshold == card.threshold.value


def test_the_script_fits_the_same_model_again(scorer: OnnxScorer, card: Card) -> None:
    full = Size()
    assert card.training.seed == full.seed
    size = Size(
        devices=full.devices, training_windows=8000, validation_windows=8000, ill_devices=20
    )
    small = train(size)
    scores = scorer.score(SHIPPED, small.golden.samples)
    assert np.corrcoef(scores, small.golden.scores)[0, 1] > 0.99
    assert small.card.threshold.value == pytest.approx(card.threshold.value, rel=0.1)


def test_healthy_machines_stay_below_the_threshold(scorer: OnnxScorer, card: Card) -> None:
    scores = scorer.score(SHIPPED, healthy_windows(seed=77, devices=300, count=10_000))
    assert scores.max() < card.threshold.value


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_is_seen_within_two_windows(scorer: OnnxScorer, card: Card, fault: Fault) -> None:
    windows, after_s = ill_windows(fault, seed=78, devices=60)
    scores = scorer.score(SHIPPED, windows.reshape(-1, 256, 6)).reshape(after_s.shape)
    full = (after_s > 1.28) & (after_s < 2.6)
    assert (scores[full] > card.threshold.value).mean() > 0.9, f"{fault} is missed"
