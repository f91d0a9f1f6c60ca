"""What the networks saw of a cine, as text that stays with the liver's segment when it is edited."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

FORMAT = "prognosis cine evidence 1"
# The share on the capsule needs no more of a film; the text would grow with its length.
MOST_MAPS = 64


@dataclass(frozen=True)
class Window:
    """What each network said of the frames from `start` up to `stop`: one ordinal score by key of labels.MODELS."""

    start: int
    stop: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Plane:
    """A lattice of the frames: bool (j, i) and the 4x4 matrix that takes (i, j, k, 1) to where Cine.grid has it."""

    mask: np.ndarray
    ijk_to_ras: np.ndarray


@dataclass(frozen=True)
class AttentionMaps:
    """Coarse Grad-CAM of some frames.

    Args:
        frames: (n,) numbers of these frames, ascending, from 0.
        maps: uint8 (n, j, i) by key of labels.MODELS; what a value stands for is the same in all frames of a network.
        ijk_to_ras: 4x4, of the lattice (i, j) in the frame, as of Plane.
    """

    frames: np.ndarray
    maps: Mapping[str, np.ndarray]
    ijk_to_ras: np.ndarray

    def thinned(self, most: int = MOST_MAPS) -> AttentionMaps:
        """At most so many frames, evenly chosen, with the first and the last."""
        if len(self.frames) <= most:
            return self
        chosen = np.unique(np.rint(np.linspace(0, len(self.frames) - 1, most)).astype(int))
        return AttentionMaps(self.frames[chosen], {k: m[chosen] for k, m in self.maps.items()}, self.ijk_to_ras)


@dataclass(frozen=True)
class CineEvidence:
    """What the networks saw, whatever is drawn afterwards. Frames are counted from 0.

    Args:
        frames: number of frames of the cine.
        windows: the windows that the networks read.
        frame_scores: (t,) by key of labels.MODELS, on the scale of the windows' scores; NaN where there is none.
        unusable: why a frame was not used, by its number.
        sector: where in the frame the ultrasound image is; None where it is not known.
        attention: None where no Grad-CAM was made.
    """

    frames: int
    windows: tuple[Window, ...]
    frame_scores: Mapping[str, np.ndarray]
    unusable: Mapping[int, str]
    sector: Plane | None = None
    attention: AttentionMaps | None = None

    def to_text(self) -> str:
        """JSON; scores are kept to four digits, at most MOST_MAPS maps of the Grad-CAM are kept."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "frames": self.frames,
            "windows": [
                {"start": one.start, "stop": one.stop, "scores": {k: round(float(s), 4) for k, s in one.scores.items()}}
                for one in self.windows
            ],
            "frame_scores": {
                key: [round(float(s), 4) if np.isfinite(s) else None for s in row]
                for key, row in self.frame_scores.items()
            },
            "unusable": [{"frame": frame, "reason": reason} for frame, reason in sorted(self.unusable.items())],
        }
        if self.sector is not None:
            mask = self.sector.mask
            content["sector"] = {
                "shape": mask.shape,
                "lattice": _lattice(self.sector.ijk_to_ras),
                "bits": _coded(np.packbits(mask)),
            }
        if self.attention is not None:
            kept = self.attention.thinned()
            content["attention"] = {
                "frames": [int(n) for n in kept.frames],
                "lattice": _lattice(kept.ijk_to_ras),
                "shape": next(iter(kept.maps.values())).shape[1:],
                "maps": {key: _coded(maps) for key, maps in kept.maps.items()},
            }
        return json.dumps(content)

    @classmethod
    def from_text(cls, text: str) -> CineEvidence | None:
        """None where there is no text or it is not what `to_text` wrote."""
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                return None
            found = cls(
                int(content["frames"]),
                tuple(
                    Window(int(one["start"]), int(one["stop"]), {k: float(s) for k, s in one["scores"].items()})
                    for one in content["windows"]
                ),
                {k: np.array([np.nan if s is None else float(s) for s in row]) for k, row in _rows(content)},
                {int(one["frame"]): str(one["reason"]) for one in content["unusable"]},
                _plane(content["sector"]) if "sector" in content else None,
                _attention(content["attention"]) if "attention" in content else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None
        return found if found._is_sound() else None

    def _is_sound(self) -> bool:
        """Whether frames and windows lie in the film, and arrays fit it."""
        good = self.frames > 0 and all(row.shape == (self.frames,) for row in self.frame_scores.values())
        good = good and all(0 <= one.start < one.stop <= self.frames for one in self.windows)
        good = good and all(np.isfinite(list(one.scores.values())).all() for one in self.windows)
        good = good and all(0 <= frame < self.frames for frame in self.unusable)
        maps = self.attention
        return good and (maps is None or (np.all(maps.frames >= 0) and bool(np.all(maps.frames < self.frames))))


def _rows(content: Mapping[str, Any]) -> Any:
    return content["frame_scores"].items()


def _plane(content: Mapping[str, Any]) -> Plane:
    shape = tuple(int(n) for n in content["shape"])
    bits = np.unpackbits(_decoded(content["bits"]))[: shape[0] * shape[1]]  # fewer than that do not fit the shape
    return Plane(bits.reshape(shape).astype(bool), _matrix(content["lattice"]))


def _attention(content: Mapping[str, Any]) -> AttentionMaps:
    frames = np.array(content["frames"], dtype=int)
    shape = (len(frames), *(int(n) for n in content["shape"]))
    maps = {str(key): _decoded(text).reshape(shape) for key, text in content["maps"].items()}
    return AttentionMaps(frames, maps, _matrix(content["lattice"]))


def _lattice(matrix: np.ndarray) -> list:
    return np.round(np.asarray(matrix, float), 6).tolist()


def _matrix(rows: Any) -> np.ndarray:
    """A 4x4 matrix that can be inverted; ValueError for anything else."""
    matrix = np.array(rows, float)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise ValueError("no matrix of a lattice")
    return matrix


def _coded(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, np.uint8).tobytes()).decode("ascii")


def _decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
