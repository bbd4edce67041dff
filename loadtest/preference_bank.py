"""R3: calls of a real bank, one after the other: predict, then learn.

The rows have no customers, so what is tried is the tenant's level alone: the drifting logistic
regression that also keeps published probabilities honest. `populations/README.md` credits the data.
"""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from router.preference.online import OnlineLogistic

FILE = Path(__file__).parent / "populations" / "bank-marketing.csv.gz"
WARM_UP = 2000
"""Rows that are learned from and not judged."""
FIELDS = ("contact", "day_of_week", "job", "poutcome")
FIRST_RATE = -2.0
VARIANCE = 0.3
KEEP = 0.9995


@dataclass(frozen=True)
class Judged:
    """How good the predictions were."""

    log_loss: float
    auc: float
    calibration_error: float
    rows: int


def run() -> Judged:
    """Predict each row before it is learned."""
    with gzip.open(FILE, "rb") as packed:
        rows = list(csv.DictReader(io.StringIO(packed.read().decode()), delimiter=";"))
    index: dict[tuple[str, str], int] = {("", ""): 0}
    features = [[0, *(index.setdefault(f, len(index)) for f in _features(r))] for r in rows]
    mean, variance = np.zeros(len(index)), np.full(len(index), VARIANCE)
    mean[0], variance[0] = FIRST_RATE, 1.0
    model = OnlineLogistic(mean, variance, KEEP)
    said, was = [], []
    for places, row in zip(features, rows, strict=True):
        x = np.zeros(len(index))
        x[places] = 1.0
        said.append(model.predict(x))
        was.append(row["y"] == "yes")
        model.learn(x, float(was[-1]))
    p = np.clip(np.array(said[WARM_UP:]), 1e-6, 1 - 1e-6)
    y = np.array(was[WARM_UP:])
    loss = float(-np.where(y, np.log(p), np.log(1 - p)).mean())
    return Judged(loss, auc(p, y), calibration_error(p, y), len(y))


def _features(row: dict[str, str]) -> list[tuple[str, str]]:
    """What is known before a call: the channel, the day, who it is, and how it went before."""
    found = [(name, row[name]) for name in FIELDS]
    found.append(("campaign", str(min(int(row["campaign"]), 6))))
    found.append(("previous", str(min(int(row["previous"]), 3))))
    found.append(("called before", str(row["pdays"] != "999")))
    return found


def auc(p: NDArray[np.float64], y: NDArray[np.bool_]) -> float:
    """The chance that a success was thought likelier than a failure; ties count half."""
    values, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    wins = ranks[inverse][y].sum() - y.sum() * (y.sum() + 1) / 2
    assert len(values) > 1
    return float(wins / (y.sum() * (~y).sum()))


def calibration_error(p: NDArray[np.float64], y: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error: |said - happened| over equally wide bins, by their size."""
    at = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(at, minlength=bins)
    gap = np.abs(np.bincount(at, p, bins) - np.bincount(at, y, bins))
    return float(gap[count > 0].sum() / len(p))
