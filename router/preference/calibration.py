"""Published probabilities: what was predicted is held against what happened, channel by channel.

Online Platt scaling: p' = sigmoid(a + b logit p), with a and b learned from each outcome (an
extended Kalman filter's step), older outcomes fading. When a channel suddenly behaves quite unlike
its predictions, the layer forgets what it was sure of and learns anew within some dozen outcomes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from router.preference.kernel import Floats, Ints, logit, sigmoid

_VERSION = 1
_HEAD = struct.Struct("<BB")
_FIELDS = 9


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """How fast the layer learns and forgets."""

    ridge: float = 20.0
    """Outcomes' worth of belief that predictions are right as they are."""
    keep: float = 0.9998
    """What one outcome leaves of the weight of those before it."""
    watch_keep: float = 0.97
    """The same for the watch over sudden changes."""
    alarm: float = 5.0
    """Standard deviations of the watched sum at which the layer forgets."""


class Calibration:
    """One tenant's layer. State per channel: a, b, their precision, and the watched sum."""

    __slots__ = ("_state", "settings")

    def __init__(self, channels: int, settings: CalibrationSettings | None = None) -> None:
        self.settings = settings or CalibrationSettings()
        self._state: Floats = np.zeros((channels, _FIELDS))
        self._state[:, 1] = 1.0

    def observe(self, channel: int, predicted: float, target: float, weight: float = 1.0) -> None:
        """Learn from one settled attempt: the estimator's own p (not the published one), and the
        share of a success that it came to."""
        wants = self.settings
        a, b, aa, ab, bb, gap, room, _, count = (float(x) for x in self._state[channel])
        x = float(logit(np.array(predicted)))
        p = 1.0 / (1.0 + np.exp(-(a + b * x)))
        v = max(p * (1.0 - p), 1e-3)
        gap = wants.watch_keep * gap + weight * (target - p)
        room = wants.watch_keep**2 * room + weight * weight * v
        if gap * gap > wants.alarm**2 * max(room, 1.0):
            aa, ab, bb, gap, room = 0.02 * aa, 0.02 * ab, 0.02 * bb, 0.0, 0.0
        aa = wants.keep * aa + weight * v
        ab = wants.keep * ab + weight * v * x
        bb = wants.keep * bb + weight * v * x * x
        strong_a, strong_b = aa + wants.ridge * 0.2, bb + wants.ridge
        step = weight * (target - p)
        determinant = strong_a * strong_b - ab * ab
        a += step * (strong_b - ab * x) / determinant
        b += step * (strong_a * x - ab) / determinant
        b = min(max(b, 0.2), 3.0)
        self._state[channel] = (a, b, aa, ab, bb, gap, room, 0.0, count + 1)

    def publish(self, channel: Ints, logits: Floats) -> Floats:
        """Logits as published; `channel` gives each row's."""
        a, b = self._state[channel, 0], self._state[channel, 1]
        return np.asarray(a[:, None] + b[:, None] * logits)

    def probability(self, channel: Ints, p: Floats) -> Floats:
        """Probabilities as published; `channel` gives each row's."""
        return sigmoid(self.publish(channel, logit(p)))

    def encode(self) -> bytes:
        """The stored form."""
        return _HEAD.pack(_VERSION, len(self._state)) + self._state.astype("<f8").tobytes()

    @classmethod
    def decode(cls, data: bytes, settings: CalibrationSettings | None = None) -> Calibration:
        """The layer of stored bytes. Raises ValueError when they are none."""
        if len(data) < _HEAD.size or data[0] != _VERSION:
            got = data[:1].hex() or "nothing"
            raise ValueError(f"calibration: version {_VERSION} expected, got {got}")
        channels = data[1]
        size = _HEAD.size + channels * _FIELDS * 8
        if len(data) != size:
            raise ValueError(f"calibration: {size} bytes for {channels} channels, got {len(data)}")
        layer = cls(channels, settings)
        layer._state[...] = np.frombuffer(data, "<f8", offset=_HEAD.size).reshape(channels, _FIELDS)
        return layer
