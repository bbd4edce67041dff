"""Published probabilities: what was predicted is held against what happened, channel by channel.

Platt scaling, learned outcome by outcome: p' = sigmoid(a + b logit p). When a channel suddenly
behaves quite unlike its predictions (a provider is down, numbers are blocked), the layer is unsure
again at once and learns anew within some dozen outcomes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from router.preference.kernel import Floats, Ints, logit, sigmoid
from router.preference.online import OnlineLogistic

_VERSION = 1
_HEAD = struct.Struct("<BB")
_FIELDS = 8


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """How fast the layer learns and forgets."""

    level_variance: float = 0.25
    """Of a, before anything is learned."""
    slope_variance: float = 0.05
    """Of b."""
    keep: float = 1 - 1e-6
    """What one outcome leaves of the deviation from a = 0, b = 1."""
    watch_keep: float = 0.97
    """What one outcome leaves of the watched sum of errors: it looks back some 30 outcomes."""
    alarm: float = 4.0
    """Standard deviations of the watched sum at which the layer is unsure again."""
    alarm_variance: float = 256.0
    """How much more unsure it is then than in the beginning. So much that "never again" lies within
    an 80 % interval: a dozen failures in a row cannot tell a bad channel from a dead one."""


class Calibration:
    """One tenant's layer."""

    __slots__ = ("_channels", "_gap", "_room", "settings")

    def __init__(self, channels: int, settings: CalibrationSettings | None = None) -> None:
        self.settings = settings or CalibrationSettings()
        wants = self.settings
        variance = np.array([wants.level_variance, wants.slope_variance])
        self._channels = [
            OnlineLogistic(np.array([0.0, 1.0]), variance, wants.keep) for _ in range(channels)
        ]
        self._gap = [0.0] * channels
        self._room = [0.0] * channels

    def observe(self, channel: int, predicted: float, target: float, weight: float = 1.0) -> None:
        """Learn from one settled attempt: the estimator's own p (`Window.raw`, not the published
        one), and the share of a success that it came to."""
        wants, layer = self.settings, self._channels[channel]
        features = np.array([1.0, float(logit(np.array(predicted)))])
        p = layer.predict(features)
        gap = wants.watch_keep * self._gap[channel] + weight * (target - p)
        room = wants.watch_keep**2 * self._room[channel] + weight * weight * p * (1 - p)
        if gap * gap > wants.alarm**2 * max(room, 1.0):
            layer.doubt(wants.alarm_variance)
            gap = room = 0.0
        self._gap[channel], self._room[channel] = gap, room
        layer.learn(features, target, weight)
        layer.weights[1] = min(max(layer.weights[1], 0.2), 3.0)

    def publish(self, channel: Ints, logits: Floats) -> Floats:
        """Logits as published; `channel` gives each row's."""
        lines = np.array([self._channels[c].weights for c in channel])
        return np.asarray(lines[:, :1] + lines[:, 1:] * logits)

    def interval(
        self, channel: int, mean: float, variance: float, deviations: float
    ) -> tuple[float, float]:
        """Ends of a published interval, as logits, so many standard deviations from the middle.

        To the variance of the estimator's own logit comes that of the layer: an interval says, too,
        how little is known of a channel that lately behaves unlike its predictions.
        """
        layer = self._channels[channel]
        (level, slope), features = layer.weights.tolist(), np.array([1.0, mean])
        own = float(features @ layer.covariance @ features)
        spread = deviations * math.sqrt(slope * slope * variance + own)
        middle = level + slope * mean
        return middle - spread, middle + spread

    def probability(self, channel: Ints, p: Floats) -> Floats:
        """Probabilities as published; `channel` gives each row's."""
        return sigmoid(self.publish(channel, logit(p)))

    def encode(self) -> bytes:
        """The stored form."""
        rows = [
            [*layer.weights, *layer.covariance.ravel(), gap, room]
            for layer, gap, room in zip(self._channels, self._gap, self._room, strict=True)
        ]
        return _HEAD.pack(_VERSION, len(rows)) + np.array(rows, "<f8").tobytes()

    @classmethod
    def decode(cls, data: bytes, settings: CalibrationSettings | None = None) -> Calibration:
        """The layer of stored bytes. Raises ValueError when they are none."""
        if len(data) < _HEAD.size or data[0] != _VERSION:
            got = data[:1].hex() or "nothing"
            raise ValueError(f"calibration: version {_VERSION} expected, got {got}")
        size = _HEAD.size + data[1] * _FIELDS * 8
        if len(data) != size:
            raise ValueError(f"calibration: {size} bytes for {data[1]} channels, got {len(data)}")
        made = cls(data[1], settings)
        table = np.frombuffer(data, "<f8", offset=_HEAD.size).reshape(data[1], _FIELDS)
        for channel, row in enumerate(table):
            made._channels[channel].weights = row[:2].copy()
            made._channels[channel].covariance = row[2:6].reshape(2, 2).copy()
            made._gap[channel], made._room[channel] = float(row[6]), float(row[7])
        return made
