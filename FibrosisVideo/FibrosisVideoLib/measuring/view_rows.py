"""Rows about what the cine shows: the liver's area and capsule, and how much of the Grad-CAM lies on the capsule."""

from __future__ import annotations

import numpy as np

from PrognosisLib.findings import Interval, Mask, Measurement
from PrognosisLib.images.cine.cine import Cine

from ..labels import MODELS
from ..settings import FibrosisSettings
from .capsule import BAND_MM, BAND_SHARE, capsule_lengths_mm, capsule_share
from .evidence import CineEvidence

VIEW, ATTENTION = "Liver in the cine", "Where the networks looked"
NO_PIXEL = "the size of a pixel is not known"
NO_MAP = "no Grad-CAM was made; switch it on in the settings and run again"
NO_CAPSULE = "no frame shows the capsule"
PUBLISHED_FOCUS = "the published Grad-CAM was on the liver capsule (published, other data)"


def liver_rows(mask: Mask, evidence: CineEvidence | None, cine: Cine) -> list[Measurement]:
    """How long the liver is seen, its mean area and the mean length of its capsule."""
    pixels = np.count_nonzero(mask.array, axis=(1, 2))
    seen = pixels > 0
    share = 100.0 * np.count_nonzero(seen) / len(cine)
    frames = Measurement("liver_frames", "Frames with liver", share, "%", method="frames with a mask", group=VIEW)
    if cine.pixel_mm is None:
        labels = {"liver_area": ("Liver area", "cm²"), "capsule_length": ("Visible capsule", "cm")}
        unknown = [Measurement(k, label, None, unit, note=NO_PIXEL, group=VIEW) for k, (label, unit) in labels.items()]
        return [frames, *unknown]
    column, row = mask.grid.spacing[:2]
    lengths = capsule_lengths_mm(mask, evidence.sector if evidence is not None else None)[seen] / 10.0
    areas = pixels[seen] * column * row / 100.0
    within = "mean of the frames with liver; the interval holds 95 % of them"
    return [
        frames,
        _mean_row("liver_area", "Liver area", areas, "cm²", f"pixels times their size; {within}"),
        _mean_row("capsule_length", "Visible capsule", lengths, "cm", f"outline inside the sector; {within}"),
    ]


def _mean_row(key: str, label: str, values: np.ndarray, unit: str, method: str) -> Measurement:
    lower, upper = (float(v) for v in np.percentile(values, (2.5, 97.5)))
    return Measurement(key, label, float(values.mean()), unit, Interval(lower, upper), method, group=VIEW)


def capsule_rows(
    mask: Mask, evidence: CineEvidence, cine: Cine, settings: FibrosisSettings, simulated: bool
) -> list[Measurement]:
    """Share of each network's Grad-CAM on the band of the capsule, and what an even map would have there."""
    found, why = None, NO_MAP
    if settings.heat_map and evidence.attention is not None:
        found = capsule_share(mask, evidence.attention, evidence.sector, cine.pixel_mm is not None)
        why = NO_CAPSULE
    is_mm = cine.pixel_mm is not None
    width = f"{BAND_MM:g} mm" if is_mm else f"{100 * BAND_SHARE:g} % of the sector's height"
    rows = []
    for key, name in MODELS.items():
        value = None if found is None or key not in found.shares else 100.0 * found.shares[key]
        rows.append(
            Measurement(
                f"capsule_share_{key}",
                f"Grad-CAM on the capsule, {name}",
                value,
                "%",
                method=f"part within {width} of the liver's outline inside the sector; {PUBLISHED_FOCUS}",
                note=why if value is None else f"{100 * found.even:.0f} % if it were even over the liver and that band",
                group=ATTENTION,
                simulated=simulated,
            )
        )
    return rows
