"""The DL score: slice features pooled by attention into one number per patient, and its exact heat map.

Several attention heads weigh the slices; each pools the network's features of the hematoma's slices. A linear form adds
them up with the features' sum over all slices (several islands count more than one) and with functions of the volumes.
The result is normalized to [0, 1] between the 1st and 99th percentile of the training patients: the paper says that
slice outputs become one normalized score and no more, so that normalization and pooling were chosen here. numpy only;
training is in attention_training.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from PrognosisLib.errors import BundleError
from PrognosisLib.slicewise.network import SMALLEST_SUM

FORMAT = "prognosis slice attention 1"
# The volume's part bends here (mL); tiny and huge volumes count as the ends.
KNOTS_ML = (5.0, 15.0, 40.0)
VOLUME_ML = (0.3, 120.0)
SMALLEST_AREA_MM2 = 10.0


@dataclass(frozen=True)
class Pooled:
    """One patient's score: `raw`, the linear form; `score` in [0, 1]; `weights` (s,), the slices' share of it."""

    raw: float
    score: float
    weights: np.ndarray


@dataclass(frozen=True)
class AttentionModel:
    """The pooling's numbers.

    Args:
        gates: (h, f), and gate_offsets (h,): attention of each head.
        effects: (h, f), what each head's pooled features add; sum_effects: (f,), what their sum over slabs adds.
        volume_effects: (v,), for `volume_terms`; offset: constant.
        low, high: raw scores that become 0 and 1.
    """

    gates: np.ndarray
    gate_offsets: np.ndarray
    effects: np.ndarray
    sum_effects: np.ndarray
    volume_effects: np.ndarray
    offset: float
    low: float
    high: float

    def pool(self, features: np.ndarray, areas_mm2: np.ndarray, volume_ml: float, ventricular_ml: float) -> Pooled:
        """The patient's score.

        Args:
            features: (s, f) of the slabs; areas_mm2: (s,) of the hematoma in each; slabs without are left out.
        """
        shares = self.head_weights(features, areas_mm2)
        raw = self.offset + float(self.volume_effects @ volume_terms(volume_ml, ventricular_ml))
        raw += float((self._slab_effects(shares) * features).sum())
        score = float(np.clip((raw - self.low) / (self.high - self.low), 0.0, 1.0))
        return Pooled(raw, score, shares.mean(axis=0))

    def head_weights(self, features: np.ndarray, areas_mm2: np.ndarray) -> np.ndarray:
        """Attention (h, s); rows sum to 1. Without hematoma in any slab all of them count."""
        used = areas_mm2 >= SMALLEST_AREA_MM2
        if not used.any():
            used = areas_mm2 == areas_mm2.max(initial=-1.0)
        scores = features @ self.gates.T + self.gate_offsets + np.log(np.maximum(areas_mm2, 1.0))[:, None] / 2.0
        scores = np.where(used[:, None], scores, -np.inf).T
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def _slab_effects(self, shares: np.ndarray) -> np.ndarray:
        """What each feature of each slab adds (s, f), for the heads' attention (h, s)."""
        return np.einsum("hs,hf->sf", shares, self.effects) + (shares.max(axis=0) > 0)[:, None] * self.sum_effects

    def heat(self, features: np.ndarray, areas_mm2: np.ndarray, evidence: np.ndarray, share: np.ndarray) -> np.ndarray:
        """What every pixel adds to the raw score through the slice features, (s, j, i); the sum is their part of it.

        Args:
            evidence: (s, f, j, i) as the network gives it; share: (s, j, i), probability of hematoma on its pixels.
        """
        total = share.sum(axis=(1, 2)) + SMALLEST_SUM
        weight = self._slab_effects(self.head_weights(features, areas_mm2)) / total[:, None]
        return np.einsum("sf,sfji->sji", weight, evidence, optimize=True) * share

    def to_dict(self) -> dict[str, Any]:
        numbers = {name: np.round(value, 6).tolist() for name, value in vars(self).items()}
        return {"format": FORMAT, **numbers}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], features: int) -> AttentionModel:
        """Raises BundleError when it is not what `to_dict` gave, for networks with so many features."""
        try:
            arrays = {name: np.asarray(data[name], float) for name in cls.__dataclass_fields__}
            heads = len(arrays["gate_offsets"])
            shapes = {"gates": (heads, features), "effects": (heads, features), "volume_effects": (TERMS,)}
            shapes["sum_effects"] = (features,)
            shapes |= {"gate_offsets": (heads,), "offset": (), "low": (), "high": ()}
            good = data["format"] == FORMAT and all(arrays[name].shape == shape for name, shape in shapes.items())
            good = good and all(np.isfinite(one).all() for one in arrays.values())
        except (KeyError, TypeError, ValueError):
            good = False
        if not good or not arrays["low"] < arrays["high"]:
            raise BundleError("The slice attention of the model bundle is damaged; install the bundle again.")
        scalars = {name: float(arrays.pop(name)) for name in ("offset", "low", "high")}
        return cls(**arrays, **scalars)


TERMS = 2 + len(KNOTS_ML)


def volume_terms(volume_ml: float, ventricular_ml: float) -> np.ndarray:
    """Functions of the volumes (v,): ln volume, its bends at KNOTS_ML, and intraventricular blood (0..1, half at
    0.5 mL)."""
    log = math.log(min(max(volume_ml, VOLUME_ML[0]), VOLUME_ML[1]))
    bends = [max(0.0, log - math.log(knot)) for knot in KNOTS_ML]
    return np.array([log - math.log(12.0), *bends, ventricular_ml / (ventricular_ml + 0.5)])
