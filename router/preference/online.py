"""Logistic regression that learns from one outcome at a time, while what it learns drifts away.

An extended Kalman filter: the weights are normal, each outcome is one Newton step, and between
outcomes the weights return towards their prior mean as an Ornstein-Uhlenbeck process does, so that
old outcomes fade and a feature that is never seen keeps its prior variance.
"""

from __future__ import annotations

import numpy as np

from router.preference.kernel import Floats


class OnlineLogistic:
    """Weights of shape (features,) with their covariance."""

    __slots__ = ("_keep", "_prior", "covariance", "mean", "weights")

    def __init__(self, mean: Floats, variance: Floats, keep: float) -> None:
        """`keep`: what one outcome leaves of the weights' deviation from `mean`, below 1."""
        self.mean = mean
        self._prior: Floats = np.diag(variance)
        self._keep = keep
        self.weights: Floats = mean.copy()
        self.covariance: Floats = self._prior.copy()

    def predict(self, features: Floats) -> float:
        """The probability of a success."""
        return float(0.5 + 0.5 * np.tanh(0.5 * float(self.weights @ features)))

    def learn(self, features: Floats, target: float, weight: float = 1.0) -> None:
        """One outcome: a share of a success, 0 to 1, that counts for `weight` attempts."""
        keep = self._keep
        self.weights = self.mean + keep * (self.weights - self.mean)
        self.covariance = keep**2 * self.covariance + (1 - keep**2) * self._prior
        p = self.predict(features)
        v = weight * max(p * (1.0 - p), 1e-3)
        gain = self.covariance @ features
        share = 1.0 + v * float(features @ gain)
        self.weights = self.weights + gain * (weight * (target - p) / share)
        self.covariance -= np.outer(gain, gain) * (v / share)

    def doubt(self, times: float) -> None:
        """Be so many times as unsure (in variance) as in the beginning; the weights stay."""
        self.covariance = self._prior * times
