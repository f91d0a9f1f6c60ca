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

from .attention import SMALLEST_AREA_MM2, TERMS, AttentionModel, volume_terms

HEADS = 3
STEPS = 1500
RATE = 0.02
DECAY = 0.02
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
    """Cross-entropy against the expected outcome, with weight decay; the same arguments give the same numbers."""
    torch.manual_seed(seed)
    scale = np.concatenate([p.features for p in patients]).std(axis=0) + 1e-3
    features, logs, used, terms, expected = _tensors(patients, scale)
    width = features.shape[2]
    gates = (0.1 * torch.randn(HEADS, width)).requires_grad_()
    gate_offsets = torch.zeros(HEADS, requires_grad=True)
    effects = torch.zeros(HEADS, width, requires_grad=True)
    volume = torch.zeros(TERMS, requires_grad=True)
    offset = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW(
        [
            {"params": [gates, effects], "weight_decay": DECAY},
            {"params": [gate_offsets, volume, offset], "weight_decay": 0.0},
        ],
        lr=RATE,
    )
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        scores = torch.einsum("psf,hf->phs", features, gates) + gate_offsets[:, None] + 0.5 * logs[:, None]
        shares = torch.softmax(scores.masked_fill(~used[:, None], -1e9), dim=2)
        raw = torch.einsum("phs,psf,hf->p", shares, features, effects) + terms @ volume + offset
        loss = F.binary_cross_entropy_with_logits(raw, expected) + 2e-4 * effects.abs().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    with torch.no_grad():
        found = [one.detach().numpy().astype(float) for one in (gates, gate_offsets, effects, volume)]
        low, high = np.percentile(raw.numpy(), [1, 99])
    return AttentionModel(
        found[0] / scale, found[1], found[2] / scale, found[3], float(offset.detach()), float(low), float(high)
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


def _tensors(patients: Sequence[PatientFeatures], scale: np.ndarray) -> tuple[torch.Tensor, ...]:
    """Features (p, s, f), log areas and use (p, s), volume terms (p, v) and expected outcome (p,), padded."""
    most = max(len(p.features) for p in patients)
    features = np.zeros((len(patients), most, len(scale)), np.float32)
    # Below any area: padding is never used, not even where no slab has hematoma.
    areas = np.full((len(patients), most), -1.0, np.float32)
    for row, p in enumerate(patients):
        features[row, : len(p.features)] = p.features / scale
        areas[row, : len(p.areas_mm2)] = p.areas_mm2
    used = areas >= np.minimum(SMALLEST_AREA_MM2, areas.max(axis=1, keepdims=True))
    terms = np.stack([volume_terms(p.volume_ml, p.ventricular_ml) for p in patients]).astype(np.float32)
    expected = np.array([p.expected for p in patients], np.float32)
    logs = np.log(np.maximum(areas, 1.0))
    return tuple(torch.from_numpy(one) for one in (features, logs, used, terms, expected))
