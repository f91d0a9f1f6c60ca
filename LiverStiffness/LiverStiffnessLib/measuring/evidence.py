"""What the network saw in both images, as text that stays with the liver's segment when it is edited."""

from __future__ import annotations

import json
from collections.abc import Mapping

from PrognosisLib.findings import Mask
from PrognosisLib.slicewise.evidence import SliceEvidence, slab_areas

from ..segmenting.network import FEATURES
from .ordinal import SliceInput


def to_text(evidence: Mapping[str, SliceEvidence]) -> str:
    """By sequence; the T1's slices where they lie over the T2 (see alignment.moved_back)."""
    return json.dumps({name: one.to_json() for name, one in evidence.items()})


def from_text(text: str) -> dict[str, SliceEvidence]:
    """Empty where there is no text or it is not what `to_text` wrote."""
    try:
        content = json.loads(text)
        found = {str(name): SliceEvidence.from_json(one) for name, one in content.items()}
    except (ValueError, AttributeError, TypeError):
        return {}
    good = all(one is not None and one.features.shape[1] == FEATURES for one in found.values())
    return found if good and set(found) <= {"T2", "T1"} else {}


def slice_inputs(liver: Mask, evidence: Mapping[str, SliceEvidence]) -> dict[str, SliceInput]:
    """Features and the liver's areas as the mask is now; a sequence whose slices miss the liver is left out."""
    inputs = {}
    for name, one in evidence.items():
        areas = slab_areas(liver.array, liver.start, liver.grid.ijk_to_ras, one)
        if areas.any():
            inputs[name] = SliceInput(one.features, areas)
    return inputs
