"""Training of the slice attention (attention.py) on features that the finished network gave; torch only.

The label of an image is the share of patients with this image who expand, over the clinical values that they may have:
the simulated outcome without the noise of a single draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..segmenting.attention import SMALLEST_AREA_MM2, TERMS, AttentionModel, volume_terms

# Chosen by cross-validation on the training patients: few heads and strong penalties, since a score has many features.
HEADS = 2
STEPS = 800
RATE = 0.02
PENALTY = 0.01  # on squared effects, and a third of it on squared gates
SUM_SCALE = 8.0  # about the number of slabs of a hematoma, so that sums are of the size of means
SPARSITY = 0.001  # on absolute effects
FOLDS = 5


@dataclass(frozen=True)
class PatientFeatures:
    """What the network gave of one patient, its own volumes, and the expected outcome (0..1)."""

    case: str
    features: np.ndarray
    areas_mm2: np.ndarray
    volume_ml: float
    ventricular_ml: float
    expected: float


def train_attention(patients: Sequence[PatientFeatures], seed: int = 0, steps: int = STEPS) -> AttentionModel:
    """Penalized cross-entropy against the expected outcome; the same arguments give the same numbers."""
    torch.manual_seed(seed)
    every = np.concatenate([p.features[_used(p.areas_mm2)] for p in patients])
    mean, scale = every.mean(axis=0), every.std(axis=0) + 1e-3
    features, logs, used, terms, expected = _tensors(patients, mean, scale)
    width = features.shape[2]
    gates = (0.1 * torch.randn(HEADS, width)).requires_grad_()
    gate_offsets = torch.zeros(HEADS, requires_grad=True)
    effects = torch.zeros(HEADS, width, requires_grad=True)
    sums = torch.zeros(width, requires_grad=True)
    volume = torch.zeros(TERMS, requires_grad=True)
    offset = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([gates, gate_offsets, effects, sums, volume, offset], lr=RATE)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    # Sums of the features themselves, not of their distance from the mean.
    totals = ((features + torch.from_numpy((mean / scale).astype(np.float32))) * used[..., None]).sum(dim=1) / SUM_SCALE
    for _ in range(steps):
        scores = torch.einsum("psf,hf->phs", features, gates) + gate_offsets[:, None] + 0.5 * logs[:, None]
        shares = torch.softmax(scores.masked_fill(~used[:, None], -1e9), dim=2)
        raw = torch.einsum("phs,psf,hf->p", shares, features, effects) + terms @ volume + offset
        raw = raw + totals @ sums
        loss = F.binary_cross_entropy_with_logits(raw, expected) + SPARSITY * effects.abs().sum()
        loss = loss + PENALTY * ((effects**2).sum() + (gates**2).sum() / 3 + (sums**2).sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    with torch.no_grad():
        found = [one.detach().numpy().astype(float) for one in (gates, gate_offsets, effects, sums, volume)]
        low, high = np.percentile(raw.numpy(), [1, 99])
    # The features' means go into the constants: shares do not depend on a gate's constant, effects add up.
    constant = float(offset.detach()) - float((found[2] / scale @ mean).sum())
    return AttentionModel(
        gates=found[0] / scale,
        gate_offsets=found[1],
        effects=found[2] / scale,
        sum_effects=found[3] / scale / SUM_SCALE,
        volume_effects=found[4],
        offset=constant,
        low=float(low),
        high=float(high),
    )


def out_of_fold(patients: Sequence[PatientFeatures], seed: int = 0) -> np.ndarray:
    """Score of every patient from an attention that never saw it (n,); for fitting the risk models."""
    scores = np.zeros(len(patients))
    folds = np.random.default_rng([seed, 31]).permutation(len(patients)) % FOLDS
    for fold in range(FOLDS):
        model = train_attention([p for p, f in zip(patients, folds, strict=True) if f != fold], seed)
        for number in np.flatnonzero(folds == fold):
            scores[number] = score_of(model, patients[number])
    return scores


def score_of(model: AttentionModel, p: PatientFeatures) -> float:
    """The DL score of a patient."""
    return model.pool(p.features, p.areas_mm2, p.volume_ml, p.ventricular_ml).score


def _used(areas_mm2: np.ndarray) -> np.ndarray:
    """Slabs (s,) that count: those with enough hematoma, or the fullest one."""
    return (areas_mm2 >= min(SMALLEST_AREA_MM2, float(areas_mm2.max(initial=0.0)))) & (areas_mm2 >= 0)


def _tensors(patients: Sequence[PatientFeatures], mean: np.ndarray, scale: np.ndarray) -> tuple[torch.Tensor, ...]:
    """Features (p, s, f), log areas and use (p, s), volume terms (p, v) and expected outcome (p,), padded."""
    most = max(len(p.features) for p in patients)
    features = np.zeros((len(patients), most, len(scale)), np.float32)
    areas = np.zeros((len(patients), most), np.float32)
    used = np.zeros((len(patients), most), bool)
    for row, p in enumerate(patients):
        features[row, : len(p.features)] = (p.features - mean) / scale
        areas[row, : len(p.areas_mm2)] = p.areas_mm2
        used[row, : len(p.areas_mm2)] = _used(p.areas_mm2)
    terms = np.stack([volume_terms(p.volume_ml, p.ventricular_ml) for p in patients]).astype(np.float32)
    expected = np.array([p.expected for p in patients], np.float32)
    logs = np.log(np.maximum(areas, 1.0))
    return tuple(torch.from_numpy(one) for one in (features, logs, used, terms, expected))
