"""Reasons to look at a cine and its mask again, each one sentence with what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from PrognosisLib.findings import Flag, Mask

from ..labels import LIVER, MODELS, PRODUCT
from .evidence import CineEvidence
from .reading import Reading

MOST_LISTED = 4
MANY_UNUSABLE = 0.3
FEW_WINDOWS = 3
SELDOM = 0.5


def cine_flags(
    mask: Mask | None, evidence: CineEvidence | None, readings: Mapping[str, Reading], decision: float
) -> list[Flag]:
    """Flags about frames, windows, the mask and networks that disagree; `decision` is a probability 0..1."""
    flags = []
    if evidence is not None:
        flags += _unusable(evidence)
        flags += [one for one in (_seldom(mask, evidence), _few_windows(readings)) if one is not None]
    flags += [one for one in (_disagreement(readings, decision),) if one is not None]
    return flags


def _unusable(evidence: CineEvidence) -> list[Flag]:
    """One for each reason, with the frames it is about."""
    reasons: dict[str, list[int]] = {}
    for frame, reason in sorted(evidence.unusable.items()):
        reasons.setdefault(reason, []).append(frame)
    severity = "warning" if len(evidence.unusable) > MANY_UNUSABLE * evidence.frames else "info"
    flags = []
    for reason, frames in reasons.items():
        message = f"{len(frames)} of {evidence.frames} frames were not used ({reason}): {listed(frames)}."
        flags.append(Flag("unusable_frames", severity, message))
    return flags


def listed(frames: Iterable[int]) -> str:
    """Frames counted from 1, ascending, as runs: "3, 7 to 12 and 2 more runs"."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    texts = [f"{a + 1}" if a == b else f"{a + 1} to {b + 1}" for a, b in runs]
    more = len(texts) - MOST_LISTED
    return ", ".join(texts[:MOST_LISTED]) + (f" and {more} more run{'s' if more > 1 else ''}" if more > 0 else "")


def _seldom(mask: Mask, evidence: CineEvidence) -> Flag | None:
    seen = int(np.count_nonzero(mask.array.any(axis=(1, 2))))
    if seen >= SELDOM * evidence.frames:
        return None
    message = f"The liver is seen in {seen} of {evidence.frames} frames only: check that the cine is of the liver."
    return Flag("liver_seldom", "warning", message, LIVER)


def _few_windows(readings: Mapping[str, Reading]) -> Flag | None:
    product = readings.get(PRODUCT)
    if product is None or product.windows >= FEW_WINDOWS:
        return None
    count = "one window" if product.windows == 1 else f"{product.windows} windows"
    message = f"The cine gave {count} only, so the interval is wide; a longer sweep tells more."
    return Flag("few_windows", "info", message)


def _disagreement(readings: Mapping[str, Reading], decision: float) -> Flag | None:
    product = readings.get(PRODUCT)
    others = [key for key in readings if key != PRODUCT]
    if product is None or not others:
        return None
    apart = [key for key in others if (readings[key].chance >= decision) != (product.chance >= decision)]
    if len(apart) < len(others):
        return None
    names = " and ".join(f"the {MODELS[key]}" for key in apart)
    message = f"On F2 or higher {names} would answer otherwise than the {MODELS[PRODUCT]}."
    return Flag("networks_disagree", "info", message)
