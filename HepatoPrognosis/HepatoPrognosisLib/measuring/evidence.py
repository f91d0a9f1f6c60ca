"""What the network read from both images, as text that stays with the liver's segment when it is edited."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = "prognosis pair evidence 1"


@dataclass(frozen=True)
class LiverFacts:
    """What was measured in one image, inside the network's own mask.

    Args:
        pixels: number of the mask's voxels in its segment as the run wrote it, over 0; tells how much an edit changed.
        area_mm2: area of the mask in its own image; None where the size of a pixel is not known.
        echogenicity: mean gray value, 0 to 255, at matched depth and gain.
        texture: standard deviation of the gray values after the speckle is smoothed; rises with coarseness.
        frame: number of the frame, from 0.
    """

    pixels: int
    area_mm2: float | None
    echogenicity: float
    texture: float
    frame: int = 0


@dataclass(frozen=True)
class PairEvidence:
    """The network's readings, log hazards, and the facts about the images of T0 and T1.

    Args:
        score_t0: read from T0 alone; score_pair: read from both, None without a T1.
        spread_t0, spread_pair: standard deviation of each reading, over slightly changed images, say; 0 if not known.
        first, second: of the image of T0 and of T1; `second` is None without a T1.
    """

    score_t0: float
    score_pair: float | None
    first: LiverFacts
    second: LiverFacts | None
    spread_t0: float = 0.0
    spread_pair: float = 0.0

    def to_text(self) -> str:
        content: dict[str, Any] = {
            "format": FORMAT,
            "siamese_score": {"t0": _short(self.score_t0), "t0_t1": _short(self.score_pair)},
            "spread": {"t0": _short(self.spread_t0), "t0_t1": _short(self.spread_pair)},
            "images": {
                name: {key: _short(value) for key, value in asdict(facts).items()}
                for name, facts in (("t0", self.first), ("t1", self.second))
                if facts is not None
            },
        }
        return json.dumps(content)

    @classmethod
    def from_text(cls, text: str) -> PairEvidence | None:
        """None where there is no text or it is not what `to_text` wrote."""
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                return None
            score, spread, images = content["siamese_score"], content["spread"], content["images"]
            found = cls(
                float(score["t0"]),
                None if score["t0_t1"] is None else float(score["t0_t1"]),
                _facts(images["t0"]),
                _facts(images["t1"]) if "t1" in images else None,
                float(spread["t0"]),
                float(spread["t0_t1"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None
        return found if found._is_sound() else None

    def _is_sound(self) -> bool:
        scores = [self.score_t0, self.spread_t0, self.spread_pair, 0.0 if self.score_pair is None else self.score_pair]
        for facts in (self.first, self.second):
            if facts is not None:
                scores += [facts.echogenicity, facts.texture, 1.0 if facts.area_mm2 is None else facts.area_mm2]
                if facts.pixels <= 0 or scores[-1] <= 0 or facts.frame < 0:
                    return False
        good = (self.score_pair is None) == (self.second is None)
        return good and all(math.isfinite(one) for one in scores) and min(self.spread_t0, self.spread_pair) >= 0


def _facts(content: Mapping[str, Any]) -> LiverFacts:
    area = content["area_mm2"]
    return LiverFacts(
        int(content["pixels"]),
        None if area is None else float(area),
        float(content["echogenicity"]),
        float(content["texture"]),
        int(content["frame"]),
    )


def _short(value: float | None) -> float | None:
    """Six significant digits."""
    return None if value is None else value if isinstance(value, int) else float(f"{value:.6g}")
