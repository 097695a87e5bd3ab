"""A linear autoencoder: principal axes of healthy features, code and reconstruction error."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from fleetpulse.effects import F64

NORM: Final = 8
"""Power of the mean over deviations: near the largest, so one ill channel is not averaged away."""
_COLUMNS: Final = 16
"""Deviations are padded to a multiple of this: rows of a sum must start equally aligned, or ONNX
Runtime adds in another order and a score's bits depend on its place in the batch."""


@dataclass(frozen=True, slots=True)
class Principal:
    """mean, scale: float64 [features]; deviations: float64 [features, columns]."""

    mean: F64
    scale: F64
    deviations: F64

    @classmethod
    def fit(cls, features: F64, code: int) -> "Principal":
        """Least-squares fit with `code` axes. features: [n, features] of healthy windows.

        The decoder is the encoder's transpose, so code and reconstruction error of a window are one
        linear map, here with each column scaled to a healthy standard deviation of 1.
        """
        mean, scale = features.mean(0), features.std(0)
        standard = (features - mean) / scale
        variances, vectors = np.linalg.eigh(np.cov(standard.T))
        order = np.argsort(variances)[::-1][:code]
        encoder = vectors[:, order]
        residual = np.eye(len(mean)) - encoder @ encoder.T
        deviations = np.concatenate([encoder, residual], 1)
        deviations /= (standard @ deviations).std(0)
        padding = -deviations.shape[1] % _COLUMNS
        return cls(mean, scale, np.pad(deviations, ((0, 0), (0, padding))))

    def scores(self, features: F64) -> F64:
        """[n, features] -> [n]."""
        deviations = ((features - self.mean) / self.scale) @ self.deviations
        scores: F64 = np.mean(deviations**NORM, 1) ** (1 / NORM)
        return scores
