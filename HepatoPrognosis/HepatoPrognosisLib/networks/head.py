"""From the features of both images to log hazards, in numpy: one reading of T0 alone, and one that looks at the change.

What the pair is read from are the features of T0 and by how much those of T1 differ from them, so that what did not
change says nothing about the course.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

FORMAT = "prognosis pair head 1"


@dataclass(frozen=True)
class PairHead:
    """Readings of features (f,), or of many patients (n, f), as log hazards.

    With z = (features - center) / scale, alike for both images:

        T0 alone:  weights_t0 . z0 + bias_t0
        both:      weights_pair . x + outward . tanh(inward x + offset) + bias_pair,    x = (z0, z1 - z0)

    Args:
        center, scale: (f,).
        weights_t0: (f,); weights_pair: (2 f,).
        inward: (h, 2 f), offset: (h,), outward: (h,); h is 0 where there is no hidden layer.
        spread_t0, spread_pair: standard deviation of each reading between images of one patient taken at one time.
    """

    center: np.ndarray
    scale: np.ndarray
    weights_t0: np.ndarray
    bias_t0: float
    weights_pair: np.ndarray
    bias_pair: float
    inward: np.ndarray
    offset: np.ndarray
    outward: np.ndarray
    spread_t0: float = 0.0
    spread_pair: float = 0.0

    def score_t0(self, first: np.ndarray) -> np.ndarray | float:
        """Reading of T0 alone: (f,) to a number, (n, f) to (n,)."""
        return self._standard(first) @ self.weights_t0 + self.bias_t0

    def score_pair(self, first: np.ndarray, second: np.ndarray) -> np.ndarray | float:
        """Reading of both images: features of T0 and of T1, (f,) to a number, (n, f) to (n,)."""
        x = self._pair(first, second)
        hidden = np.tanh(x @ self.inward.T + self.offset)
        return x @ self.weights_pair + hidden @ self.outward + self.bias_pair

    def gradient(self, first: np.ndarray, second: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """By how much each feature (f,) of T0 and of T1 raises the reading; without a T1 that of T0 alone, and None."""
        if second is None:
            return self.weights_t0 / self.scale, None
        hidden = np.tanh(self.inward @ self._pair(first, second) + self.offset)
        by_x = self.weights_pair + (self.outward * (1 - hidden**2)) @ self.inward
        count = len(self.scale)
        return (by_x[:count] - by_x[count:]) / self.scale, by_x[count:] / self.scale

    def _standard(self, features: np.ndarray) -> np.ndarray:
        return (np.asarray(features, float) - self.center) / self.scale

    def _pair(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        z0, z1 = self._standard(first), self._standard(second)
        return np.concatenate([z0, z1 - z0], axis=-1)

    def to_dict(self) -> dict[str, Any]:
        """Content of models/heads.json."""
        arrays = {name: np.round(getattr(self, name), 6).tolist() for name in ARRAYS}
        numbers = {name: float(getattr(self, name)) for name in NUMBERS}
        return {"format": FORMAT, **arrays, **numbers}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PairHead:
        """Raises KeyError, TypeError or ValueError where it is not what `to_dict` gave."""
        arrays = {name: np.array(data[name], float) for name in ARRAYS}
        count, hidden = len(arrays["center"]), len(arrays["offset"])
        arrays["inward"] = arrays["inward"].reshape(hidden, 2 * count)
        found = cls(**arrays, **{name: float(data[name]) for name in NUMBERS})
        shapes = {name: getattr(found, name).shape for name in ARRAYS if name != "inward"}
        expected = {"center": (count,), "scale": (count,), "weights_t0": (count,), "weights_pair": (2 * count,)}
        expected |= {"offset": (hidden,), "outward": (hidden,)}
        values = [*arrays.values(), *(np.array(getattr(found, name)) for name in NUMBERS)]
        good = data["format"] == FORMAT and count > 0 and shapes == expected
        good = good and all(np.isfinite(one).all() for one in values) and bool((found.scale > 0).all())
        if not good or min(found.spread_t0, found.spread_pair) < 0:
            raise ValueError("the parts of a head do not fit")
        return found


ARRAYS = ("center", "scale", "weights_t0", "weights_pair", "inward", "offset", "outward")
NUMBERS = ("bias_t0", "bias_pair", "spread_t0", "spread_pair")
