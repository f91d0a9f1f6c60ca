"""From the features of both images to the head that a bundle reads risk with, fitted by cross-validation.

Who the head is fitted to must not have taught the network. Each patient also gets readings by a head that was fitted
without this patient, to which the Cox models are fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from PrognosisLib.evaluation.protocols import k_fold

from ..networks.head import PairHead
from .head_targets import HeadTarget, KnownHazards

FOLDS = 10
RIDGES = 10.0 ** np.arange(-3.0, 2.1, 0.5)
HIDDEN, HIDDEN_RIDGES, HIDDEN_STEPS = 6, (0.03, 0.3), 60
WORTH = 0.01  # of the variance: what a hidden layer must explain more


@dataclass(frozen=True)
class FittedHead:
    """A head, and readings (n,) of its patients by heads that were fitted without them.

    `notes`, JSON-able: "folds", and of "t0" and "pair" the "ridge", the "loss" out of fold and, where log hazards are
    known, the "r2"; "hidden" is the size of the hidden layer.
    """

    head: PairHead
    score_t0: np.ndarray
    score_pair: np.ndarray
    notes: dict[str, Any]


@dataclass(frozen=True)
class _Linear:
    ridge: float
    loss: float
    weights: np.ndarray
    bias: float
    out_of_fold: np.ndarray


@dataclass(frozen=True)
class _Bent:
    """A hidden layer beside the linear part; arrays as PairHead has them."""

    weights: np.ndarray
    bias: float
    inward: np.ndarray
    offset: np.ndarray
    outward: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x @ self.weights + np.tanh(x @ self.inward.T + self.offset) @ self.outward + self.bias


def fit_head(
    features: np.ndarray,
    first: HeadTarget,
    pair: HeadTarget,
    patients: Sequence[str],
    copies: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
) -> FittedHead:
    """Fit both readings.

    Args:
        features: (n, 2, f) of T0 and T1.
        first, pair: what the reading of T0 alone and that of both images are fitted to.
        patients: (n,), so that no patient is in two folds.
        copies: features of the same images as two other machines would have made them, which give the readings' spread.
        seed: of the folds and of the hidden layer.

    Raises:
        InputError: fewer patients than folds.
    """
    folds = k_fold(patients, FOLDS, seed)
    features = features.astype(float)
    flat = features.reshape(-1, features.shape[-1])
    scale = flat.std(axis=0)
    center, scale = flat.mean(axis=0), np.where(scale > 1e-6, scale, 1.0)
    z = (features - center) / scale
    x = np.concatenate([z[:, 0], z[:, 1] - z[:, 0]], axis=1)
    linear_t0, linear = _linear(z[:, 0], first, folds), _linear(x, pair, folds)
    bent, out_of_fold = _Bent(linear.weights, linear.bias, *_no_layer(x)), linear.out_of_fold
    notes = {"folds": FOLDS, "t0": _told(linear_t0, first), "pair": _told(linear, pair), "hidden": 0}
    if isinstance(pair, KnownHazards):
        better = _better_bent(x, pair.values, folds, linear, seed)
        if better is not None:
            bent, out_of_fold = better
            notes["hidden"] = HIDDEN
            notes["pair"] |= _agreement(out_of_fold, pair)
    head = PairHead(
        center,
        scale,
        linear_t0.weights,
        linear_t0.bias,
        bent.weights,
        bent.bias,
        bent.inward,
        bent.offset,
        bent.outward,
    )
    if copies is not None:
        head = with_spread(head, *copies)
    return FittedHead(head, linear_t0.out_of_fold, out_of_fold, notes)


def with_spread(head: PairHead, one: np.ndarray, other: np.ndarray) -> PairHead:
    """The head with the standard deviation of its readings between two copies (n, 2, f) of each patient's images."""
    first = head.score_t0(one[:, 0]) - head.score_t0(other[:, 0])
    pair = head.score_pair(one[:, 0], one[:, 1]) - head.score_pair(other[:, 0], other[:, 1])
    spread_t0, spread_pair = (float(np.sqrt(np.mean(apart**2) / 2)) for apart in (first, pair))
    return replace(head, spread_t0=spread_t0, spread_pair=spread_pair)


def _linear(x: np.ndarray, target: HeadTarget, folds: np.ndarray) -> _Linear:
    """With the ridge whose readings out of fold are nearest."""
    best: _Linear | None = None
    for ridge in RIDGES:
        found, losses = np.empty(len(x)), []
        for fold in range(FOLDS):
            out = folds == fold
            weights, bias = target.rows(~out).fit(x[~out], float(ridge))
            found[out] = x[out] @ weights + bias
            losses.append(target.rows(out).loss(found[out]) * out.sum())
        loss = float(np.sum(losses)) / len(x)
        if best is None or loss < best.loss:
            best = _Linear(float(ridge), loss, *target.fit(x, float(ridge)), found)
    return best


def _told(linear: _Linear, target: HeadTarget) -> dict[str, float]:
    told = {"ridge": round(linear.ridge, 6), "loss": round(linear.loss, 4)}
    return told | (_agreement(linear.out_of_fold, target) if isinstance(target, KnownHazards) else {})


def _agreement(reading: np.ndarray, target: KnownHazards) -> dict[str, float]:
    loss = target.loss(reading)
    return {"loss": round(loss, 4), "r2": round(1 - loss / float(target.values.var()), 4)}


# --- the hidden layer -------------------------------------------------------------------------------------------------


def _no_layer(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((0, x.shape[1])), np.zeros(0), np.zeros(0)


def _better_bent(
    x: np.ndarray, values: np.ndarray, folds: np.ndarray, linear: _Linear, seed: int
) -> tuple[_Bent, np.ndarray] | None:
    """With a hidden layer, and its readings out of fold; None where they are not clearly nearer than the linear ones.

    Clearly: by two standard errors of the difference of squared errors, and by a hundredth of the variance.
    """
    plain = (linear.out_of_fold - values) ** 2
    best, gained, chosen = None, WORTH * float(values.var()), 0.0
    for ridge in HIDDEN_RIDGES:
        found = np.empty(len(x))
        for fold in range(FOLDS):
            out = folds == fold
            found[out] = _bent(x[~out], values[~out], linear, ridge, seed)(x[out])
        gain = plain - (found - values) ** 2
        if gain.mean() > max(gained, 2 * gain.std(ddof=1) / np.sqrt(len(gain))):
            best, gained, chosen = found, float(gain.mean()), ridge
    return None if best is None else (_bent(x, values, linear, chosen, seed), best)


def _bent(x: np.ndarray, values: np.ndarray, linear: _Linear, ridge: float, seed: int) -> _Bent:
    """Least squares with penalties, from the linear solution on."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    size = (HIDDEN, x.shape[1])
    weights, bias = KnownHazards(values).fit(x, linear.ridge)
    parts = {
        "weights": torch.from_numpy(weights),
        "bias": torch.tensor(bias, dtype=torch.float64),
        "inward": 0.3 * torch.randn(size, generator=generator, dtype=torch.float64) / size[1] ** 0.5,
        "offset": torch.zeros(HIDDEN, dtype=torch.float64),
        "outward": 0.1 * torch.randn(HIDDEN, generator=generator, dtype=torch.float64),
    }
    for part in parts.values():
        part.requires_grad_(True)
    images, wanted = torch.from_numpy(x), torch.from_numpy(values)
    optimizer = torch.optim.LBFGS(parts.values(), max_iter=HIDDEN_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        hidden = torch.tanh(images @ parts["inward"].T + parts["offset"])
        found = images @ parts["weights"] + hidden @ parts["outward"] + parts["bias"]
        penalty = linear.ridge * parts["weights"].square().sum()
        penalty = penalty + ridge * (parts["inward"].square().sum() + parts["outward"].square().sum())
        loss = (found - wanted).square().mean() + penalty
        loss.backward()
        return loss

    optimizer.step(closure)
    found = {name: part.detach().numpy() for name, part in parts.items()}
    return _Bent(**{**found, "bias": float(found["bias"])})
