"""From pooled features to a score, in numpy: a linear head, and an LSTM with its gradient for Grad-CAM.

The score of a window is the mean of what its steps add to it, so that it has a course in time as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LinearHead:
    """score = weights . features + bias."""

    weights: np.ndarray
    bias: float

    def steps(self, features: np.ndarray) -> np.ndarray:
        """What each step says: (t, f) to (t,)."""
        return features @ self.weights + self.bias

    def gradient(self, features: np.ndarray) -> np.ndarray:
        """Of the mean of all steps, times their number, by each step's features: (t, f)."""
        return np.broadcast_to(self.weights, features.shape)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "linear", "weights": _listed(self.weights), "bias": float(self.bias)}


@dataclass(frozen=True)
class RecurrentHead:
    """An LSTM over the steps of a window, read linearly at each of them.

    Args:
        inward: (4 h, f) and recurrent: (4 h, h), gates in the order input, forget, cell, output; offset: (4 h,).
        weights: (h,) and bias of the reading.
    """

    inward: np.ndarray
    recurrent: np.ndarray
    offset: np.ndarray
    weights: np.ndarray
    bias: float

    def steps(self, features: np.ndarray) -> np.ndarray:
        """What each step says: (t, f) to (t,)."""
        return self._forward(features)[0] @ self.weights + self.bias

    def gradient(self, features: np.ndarray) -> np.ndarray:
        """Of the mean of all steps, times their number, by each step's features: (t, f), back through time."""
        _, cell, gates = self._forward(features)
        size = len(self.weights)
        grown = np.zeros_like(features, dtype=float)
        later_hidden, later_cell = np.zeros(size), np.zeros(size)
        for t in reversed(range(len(features))):
            i, f, g, o = np.split(gates[t], 4)
            before = cell[t - 1] if t else np.zeros(size)
            from_hidden = self.weights + later_hidden
            squashed = np.tanh(cell[t])
            from_cell = from_hidden * o * (1 - squashed**2) + later_cell
            raw = np.concatenate(
                [
                    from_cell * g * i * (1 - i),
                    from_cell * before * f * (1 - f),
                    from_cell * i * (1 - g**2),
                    from_hidden * squashed * o * (1 - o),
                ]
            )
            grown[t] = raw @ self.inward
            later_hidden, later_cell = raw @ self.recurrent, from_cell * f
        return grown

    def _forward(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hidden states, cell states (t, h) and gates (t, 4 h) after their functions."""
        size = len(self.weights)
        hidden, cell, gates = [np.zeros(size)], [np.zeros(size)], []
        for row in features.astype(float):
            i, f, g, o = np.split(self.inward @ row + self.recurrent @ hidden[-1] + self.offset, 4)
            i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
            cell.append(f * cell[-1] + i * g)
            hidden.append(o * np.tanh(cell[-1]))
            gates.append(np.concatenate([i, f, g, o]))
        return np.array(hidden[1:]), np.array(cell[1:]), np.array(gates)

    def to_dict(self) -> dict[str, Any]:
        arrays = {name: _listed(getattr(self, name)) for name in ("inward", "recurrent", "offset", "weights")}
        return {"kind": "recurrent", **arrays, "bias": float(self.bias)}


Head = LinearHead | RecurrentHead


def head_from_dict(data: Mapping[str, Any]) -> Head:
    """Raises KeyError, TypeError or ValueError where it is not what `to_dict` gave."""
    arrays = {
        name: np.array(data[name], float) for name in ("inward", "recurrent", "offset", "weights") if name in data
    }
    bias, size = float(data["bias"]), len(arrays["weights"])
    shapes = {"weights": (size,)}
    if data["kind"] == "recurrent":
        features = np.shape(arrays["inward"])[-1]
        shapes |= {"inward": (4 * size, features), "recurrent": (4 * size, size), "offset": (4 * size,)}
    elif data["kind"] != "linear":
        raise ValueError("this kind of head is not known")
    if size == 0 or {name: one.shape for name, one in arrays.items()} != shapes:
        raise ValueError("the shapes of a head do not fit")
    if not all(np.isfinite(one).all() for one in (*arrays.values(), bias)):
        raise ValueError("a weight is not finite")
    return LinearHead(bias=bias, **arrays) if data["kind"] == "linear" else RecurrentHead(bias=bias, **arrays)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _listed(array: np.ndarray) -> list:
    return np.round(array, 6).tolist()
