"""What changed between T0 and T1: area of the mask, echogenicity and texture, as numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from PrognosisLib.findings import Flag, Mask, Measurement

from ..labels import LIVER, LIVER_AT_T1
from .evidence import LiverFacts, PairEvidence

GROUP = "Change from T0 to T1"
NO_SECOND = "no image of T1"
NO_PIXEL_SIZE = "the size of a pixel is not known"
COMPARE_PLANES = "areas depend on the plane that was imaged"
LARGE_CHANGE = 0.5  # of the area; more within five days is rather another plane
TIMES = {"t0": LIVER, "t1": LIVER_AT_T1}


def change_rows(masks: Mapping[str, Mask], evidence: PairEvidence | None) -> list[Measurement]:
    """Area at both times, and the changes; none without what the run measured."""
    if evidence is None:
        mask = masks.get(LIVER)
        return [] if mask is None else [_area_row("t0", mask_area_mm2(mask), "", mask)]
    areas = areas_mm2(masks, evidence)
    facts: dict[str, LiverFacts | None] = {"t0": evidence.first, "t1": evidence.second}
    rows = []
    for when, segment in TIMES.items():
        lacking = NO_SECOND if facts[when] is None else NO_PIXEL_SIZE if areas[when] is None else ""
        rows.append(_area_row(when, areas[when], lacking, masks.get(segment)))
    lacking = NO_SECOND if evidence.second is None else NO_PIXEL_SIZE if None in areas.values() else ""
    change = None if lacking else 100 * (areas["t1"] / areas["t0"] - 1)
    rows.append(
        Measurement(
            "area_change",
            "Change of the area",
            change,
            "%",
            method="area at T1 / area at T0 - 1, of the masks as they are now",
            note=lacking or COMPARE_PLANES,
            group=GROUP,
        )
    )
    return rows + _look_rows(evidence)


def _area_row(when: str, area_mm2: float | None, lacking: str, mask: Mask | None) -> Measurement:
    return Measurement(
        f"liver_area_{when}",
        f"Liver area at {when.upper()}",
        None if area_mm2 is None else area_mm2 / 100.0,
        "cm²",
        method="pixels of the mask x size of a pixel",
        note=lacking,
        group=GROUP,
        place=None if mask is None or when != "t0" else mask.middle_ras,
    )


def _look_rows(evidence: PairEvidence) -> list[Measurement]:
    first, second = evidence.first, evidence.second
    shift = None if second is None else second.echogenicity - first.echogenicity
    ratio = None if second is None or first.texture <= 0 else 100 * (second.texture / first.texture - 1)
    rows = []
    for key, label, value, unit, method, before, after in (
        (
            "echogenicity_change",
            "Change of the echogenicity",
            shift,
            "gray levels",
            "mean gray value of the liver at T1 - at T0, at matched depth and gain",
            first.echogenicity,
            None if second is None else second.echogenicity,
        ),
        (
            "texture_change",
            "Change of the texture",
            ratio,
            "%",
            "standard deviation of the smoothed gray values at T1 / at T0 - 1; more is coarser",
            first.texture,
            None if second is None else second.texture,
        ),
    ):
        note = NO_SECOND if after is None else f"{before:.3g} at T0, {after:.3g} at T1; in the masks that the run drew"
        rows.append(Measurement(key, label, value, unit, method=method, note=note, group=GROUP))
    return rows


def areas_mm2(masks: Mapping[str, Mask], evidence: PairEvidence) -> dict[str, float | None]:
    """Area at "t0" and "t1" of the masks as they are now; None where it is not known.

    The area that the run measured is scaled by how many pixels the mask has now, against those that the run wrote: a
    segment may have come on other pixels. One that is not there was not edited.
    """
    found: dict[str, float | None] = {}
    for (when, segment), facts in zip(TIMES.items(), (evidence.first, evidence.second), strict=True):
        mask = masks.get(segment)
        if facts is None or facts.area_mm2 is None:
            found[when] = None
            continue
        count = facts.pixels if mask is None else pixels_of(mask)
        found[when] = facts.area_mm2 * count / facts.pixels or None
    return found


def pixels_of(mask: Mask) -> int:
    """Number of pixels in the frame that has most of them: of a cine the liver is drawn in one."""
    return int(np.count_nonzero(mask.array, axis=(1, 2)).max(initial=0))


def mask_area_mm2(mask: Mask) -> float:
    """Area of a mask in one frame, from its own grid."""
    axes = mask.grid.ijk_to_ras[:3, :3]
    return float(pixels_of(mask)) * float(np.linalg.norm(np.cross(axes[:, 0], axes[:, 1])))


def change_flags(masks: Mapping[str, Mask], evidence: PairEvidence | None) -> list[Flag]:
    """An area that changed more than a liver can."""
    if evidence is None or evidence.second is None:
        return []
    areas = areas_mm2(masks, evidence)
    if None in areas.values() or abs(np.log(areas["t1"] / areas["t0"])) <= np.log(1 + LARGE_CHANGE):
        return []
    message = (
        f"The liver's area went from {areas['t0'] / 100:.0f} to {areas['t1'] / 100:.0f} cm²: check that both images "
        "show the same plane and that both masks are right."
    )
    return [Flag("area_change", "warning", message, LIVER)]
