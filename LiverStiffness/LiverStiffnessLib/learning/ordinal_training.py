"""Fitting of the ordinal reading (measuring/ordinal.py) to slice features that the finished network gave; torch only.

The labels are the probabilities of reaching each threshold: 0 or 1 where a stiffness was measured, and for simulated
patients what their signs make of it, which is the simulated outcome without the noise of a single draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from PrognosisLib.errors import InputError

from ..labels import THRESHOLDS_KPA
from ..measuring.ordinal import COVARIATES, OrdinalModel, SliceInput

# Chosen by cross-validation on the training patients: one head and strong penalties, since patients are few.
HEADS = 1
STEPS = 300
RATE = 0.02
PENALTY = 0.03  # on squared effects, and a third of it on squared gates
SPARSITY = 0.001  # on absolute effects
RESAMPLES = 8
KNOTS = 7
FEWEST = 3  # patients; fewer teach nothing


@dataclass(frozen=True)
class PatientFeatures:
    """What the network gave of one examination, and what is known of its outcome.

    Args:
        slices: by sequence; covariates: by first sequence ("T2" where there is one), (c,) as ordinal.COVARIATES.
        expected: probability of each of THRESHOLDS_KPA (t,); log_kpa: of the measured stiffness.
    """

    case: str
    slices: dict[str, SliceInput]
    covariates: dict[str, np.ndarray]
    expected: np.ndarray
    log_kpa: float


def fit_reading(
    patients: Sequence[PatientFeatures],
    sequences: tuple[str, ...],
    seed: int = 0,
    resamples: int = RESAMPLES,
    basis: np.ndarray | None = None,
) -> OrdinalModel:
    """The reading of these sequences; the same arguments give the same numbers.

    Args:
        basis: (d, f), what the network's training read from the features (signs and the doubt about each); attention
            and effects are then sought among these few directions only, which patients in hundreds can teach.

    The score's error comes from refits to patients drawn with replacement: the standard deviation of their scores of
    the patients themselves, averaged.

    Raises:
        InputError: hardly any patient has features.
    """
    used = [one for one in patients if set(sequences) <= set(one.slices)]
    if len(used) < FEWEST:
        raise InputError(
            f"The network finds a liver in {len(used)} of {len(patients)} examinations only, so no stiffness can be "
            "learned from it; train it longer or on more images."
        )
    originals = used
    if basis is not None:
        used = [_projected(one, basis) for one in used]
    model = _fit(used, sequences, seed, STEPS)
    rng = np.random.default_rng([seed, 71])
    scores = []
    for number in range(resamples):
        drawn = [used[n] for n in rng.integers(len(used), size=len(used))]
        again = _fit(drawn, sequences, seed + 1 + number, STEPS)
        scores.append([score_of(again, one) for one in used])
    if resamples > 1:
        spread = np.sqrt(np.mean(np.var(np.array(scores), axis=0, ddof=1)))
        model = replace(model, error_sd=float(spread))
    if basis is not None:
        back = {name: {key: one @ basis for key, one in getattr(model, name).items()} for name in ("gates", "effects")}
        model = replace(model, **back, usual={name: _usual(originals, name) for name in sequences})
    return model


def _usual(patients: Sequence[PatientFeatures], name: str) -> np.ndarray:
    """Features (f,) of the average slice of a sequence that shows liver."""
    return np.concatenate([one.slices[name].features[one.slices[name].used] for one in patients]).mean(axis=0)


def _projected(patient: PatientFeatures, basis: np.ndarray) -> PatientFeatures:
    slices = {name: SliceInput(one.features @ basis.T, one.areas_mm2) for name, one in patient.slices.items()}
    return replace(patient, slices=slices)


def score_of(model: OrdinalModel, patient: PatientFeatures) -> float:
    return model.score(patient.slices, patient.covariates[model.sequences[0]])


def _fit(patients: Sequence[PatientFeatures], sequences: tuple[str, ...], seed: int, steps: int) -> OrdinalModel:
    """Penalized cross-entropy over all thresholds, then straight pieces from the score to the log stiffness."""
    torch.manual_seed(seed)
    data = {name: _tensors([one.slices[name] for one in patients]) for name in sequences}
    covariates = np.stack([one.covariates[sequences[0]] for one in patients])
    known = np.isfinite(covariates)
    means = np.where(known, covariates, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    filled = np.where(np.isnan(covariates), means, covariates)
    spread = filled.std(axis=0) + 1e-3
    standard = torch.from_numpy(((filled - means) / spread).astype(np.float32))
    expected = torch.from_numpy(np.stack([one.expected for one in patients]).astype(np.float32))
    width = next(iter(data.values()))[0].shape[2]
    gates = {name: (0.1 * torch.randn(HEADS, width)).requires_grad_() for name in sequences}
    effects = {name: torch.zeros(HEADS, width, requires_grad=True) for name in sequences}
    beside = torch.zeros(len(COVARIATES), requires_grad=True)
    first = torch.zeros(1, requires_grad=True)
    rises = torch.full((len(THRESHOLDS_KPA) - 1,), 0.0, requires_grad=True)
    weights = [*gates.values(), *effects.values(), beside, first, rises]
    optimizer = torch.optim.Adam(weights, lr=RATE)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def latent() -> torch.Tensor:
        score = standard @ beside
        for name in sequences:
            features, logs, mask, _, _ = data[name]
            scores = torch.einsum("psf,hf->phs", features, gates[name]) + 0.5 * logs[:, None]
            shares = torch.softmax(scores.masked_fill(~mask[:, None], -1e9), dim=2)
            score = score + torch.einsum("phs,psf,hf->p", shares, features, effects[name])
        return score

    for _ in range(steps):
        offsets = first + torch.cat([torch.zeros(1), F.softplus(rises).cumsum(0)])
        loss = F.binary_cross_entropy_with_logits(latent()[:, None] - offsets, expected)
        for name in sequences:
            loss = loss + SPARSITY * effects[name].abs().sum() / len(sequences)
            loss = loss + PENALTY * ((effects[name] ** 2).sum() + (gates[name] ** 2).sum() / 3)
        loss = loss + 0.2 * PENALTY * (beside**2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    with torch.no_grad():
        score = latent().numpy().astype(float)
        offsets = (first + torch.cat([torch.zeros(1), F.softplus(rises).cumsum(0)])).numpy().astype(float)
    # The features' means go into the constants: shares do not depend on a gate's constant, effects add up.
    constant, plain_gates, plain_effects = 0.0, {}, {}
    for name in sequences:
        mean, scale = data[name][3], data[name][4]
        plain_gates[name] = gates[name].detach().numpy().astype(float) / scale
        plain_effects[name] = effects[name].detach().numpy().astype(float) / scale
        constant += float((plain_effects[name] @ mean).sum())
    knots, log_kpa, deviation = _pieces(score + constant, np.array([one.log_kpa for one in patients]))
    beside_effects = beside.detach().numpy().astype(float) / spread
    return OrdinalModel(
        sequences=sequences,
        gates=plain_gates,
        effects=plain_effects,
        usual={name: data[name][3].astype(float) for name in sequences},
        covariate_means=means,
        covariate_effects=beside_effects,
        offsets=offsets + constant,
        knots=knots,
        log_kpa=log_kpa,
        log_kpa_sd=deviation,
        error_sd=0.0,
    )


def _pieces(score: np.ndarray, log_kpa: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Straight pieces through the running means of log stiffness, never falling; and the deviation about them."""
    from sklearn.isotonic import IsotonicRegression

    knots = np.unique(np.quantile(score, np.linspace(0.02, 0.98, KNOTS)))
    smooth = IsotonicRegression(out_of_bounds="clip").fit(score, log_kpa)
    width = 0.5 * float(np.diff(knots).mean()) if len(knots) > 1 else 1.0
    values = np.array([smooth.predict(np.linspace(k - width, k + width, 21)).mean() for k in knots])
    values = np.maximum.accumulate(values)
    deviation = float(np.sqrt(np.mean((log_kpa - np.interp(score, knots, values)) ** 2)))
    return knots, values, deviation


def _tensors(inputs: Sequence[SliceInput]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    """Standardized features (p, s, f), log areas and use (p, s), padded; means and scales (f,) of the features."""
    every = np.concatenate([one.features[one.used] for one in inputs])
    mean, scale = every.mean(axis=0), every.std(axis=0) + 1e-3
    most = max(len(one.features) for one in inputs)
    features = np.zeros((len(inputs), most, len(mean)), np.float32)
    logs, used = np.zeros((len(inputs), most), np.float32), np.zeros((len(inputs), most), bool)
    for row, one in enumerate(inputs):
        count = len(one.features)
        features[row, :count] = (one.features - mean) / scale
        logs[row, :count] = np.log(np.maximum(one.areas_mm2, 1.0))
        used[row, :count] = one.used
    return torch.from_numpy(features), torch.from_numpy(logs), torch.from_numpy(used), mean, scale
