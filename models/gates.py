"""What a model version must pass before it scores anything."""

from typing import Final

import numpy as np

from fleetpulse.errors import ConfigError
from models.card import Card
from models.registry import Golden
from models.session import BATCH_MAX, Session

_TOLERANCE: Final = 1e-6
_FLOAT: Final = "tensor(float)"


def check_signature(card: Card, session: Session) -> None:
    """One input [batch, window, channels] and one output [batch], float32, named as in the card."""
    wanted = (card.input.window, len(card.input.channels))
    if len(session.inputs) != 1 or len(session.outputs) != 1:
        raise ConfigError(f"model {card.ref}: must have one input and one output")
    name, kind, shape = session.inputs[0]
    if (name, kind, shape[1:]) != (card.input.name, _FLOAT, wanted) or isinstance(shape[0], int):
        raise ConfigError(
            f"model {card.ref}: input is {name} {kind} {list(shape)}, the card says "
            f"{card.input.name} {_FLOAT} [batch, {wanted[0]}, {wanted[1]}]"
        )
    name, kind, shape = session.outputs[0]
    if (name, kind, len(shape)) != (card.output, _FLOAT, 1):
        raise ConfigError(
            f"model {card.ref}: output is {name} {kind} {list(shape)}, the card says "
            f"{card.output} {_FLOAT} [batch]"
        )


def check_golden(card: Card, session: Session, golden: Golden) -> None:
    """Golden inputs give the recorded scores, to 1e-6 of their size."""
    got = np.concatenate(
        [
            session.run(golden.samples[at : at + BATCH_MAX])
            for at in range(0, len(golden.samples), BATCH_MAX)
        ]
    )
    if not np.allclose(got, golden.scores, rtol=_TOLERANCE, atol=_TOLERANCE):
        worst = float(np.abs(got - golden.scores).max())
        raise ConfigError(f"model {card.ref}: golden scores differ by up to {worst:.3g}")


def is_batch_invariant(session: Session, golden: Golden) -> bool:
    """True when a window's score has the same bits in every batch size and at every position."""
    windows = np.resize(golden.samples, (BATCH_MAX, *golden.samples.shape[1:]))
    alone = np.concatenate([session.run(windows[at : at + 1]) for at in range(BATCH_MAX)])
    for size in range(2, BATCH_MAX + 1):
        first, last = slice(0, size), slice(BATCH_MAX - size, BATCH_MAX)
        for part in (first, last):
            if session.run(windows[part]).tobytes() != alone[part].tobytes():
                return False
    return True
