"""Growth between the first CT and the follow-up, and whether it is expansion by the user's definition."""

from __future__ import annotations

from PrognosisLib.findings import Interval, Mask, Measurement
from PrognosisLib.volume_interval import volume_interval

from ..definition import Definition
from .followup import FollowupEvidence

GROUP = "Follow-up"
UNMATCHED = "the skulls of the two scans do not match: are they of one patient?"


def growth_rows(
    hematoma: Mask | None, later: Mask | None, definition: Definition, boundary_mm: float
) -> list[Measurement]:
    """Volume at follow-up, growth in mL and percent, and expansion; nothing without a follow-up.

    The follow-up's volume is that on its own voxels as long as its segment was not edited; then that of the segment.
    """
    if later is None:
        return []
    evidence = FollowupEvidence.from_json(later.evidence)
    if evidence is None and later.is_empty:
        return []
    if evidence is not None and later.is_empty and not evidence.native_ml:
        return [_nothing_row(), _registration_row(evidence)]
    before, before_ends = _volume(hematoma, boundary_mm)
    after, ends, how = _after(later, evidence, boundary_mm)
    growth = after - before
    reach = ((before_ends.upper - before_ends.lower) / 2) ** 2 + ((ends.upper - ends.lower) / 2) ** 2
    reach = reach**0.5
    sure = definition.met(before, before + growth - reach) == definition.met(before, before + growth + reach)
    matched = evidence is None or evidence.registered
    rows = [
        Measurement("followup_volume", "Hematoma volume at follow-up", after, "mL", ends, how, group=GROUP),
        Measurement(
            "growth",
            "Growth",
            growth,
            "mL",
            Interval(growth - reach, growth + reach),
            "volume at follow-up - first volume; interval from both volumes' intervals, taken as independent",
            "" if matched else UNMATCHED,
            GROUP,
        ),
    ]
    if before > 0:
        percent = 100.0 / before
        spread = Interval((growth - reach) * percent, (growth + reach) * percent)
        rows.append(
            Measurement(
                "growth_percent",
                "Growth, relative",
                growth * percent,
                "%",
                spread,
                "growth / first volume; interval as for the growth",
                group=GROUP,
            )
        )
    rows.append(
        Measurement(
            "expansion",
            "Expansion",
            ("yes" if bool(definition.met(before, after)) else "no") if matched else None,
            method=f"growth {definition}",
            note=UNMATCHED if not matched else "" if sure else "uncertain: the growth's interval holds the limit",
            group=GROUP,
        )
    )
    if evidence is not None:
        rows.append(_registration_row(evidence))
    return rows


def _volume(mask: Mask | None, boundary_mm: float) -> tuple[float, Interval]:
    if mask is None or mask.is_empty:
        return 0.0, Interval(0.0, 0.0)
    return mask.voxel_volume_ml, volume_interval(mask, boundary_mm)[0]


def _after(later: Mask, evidence: FollowupEvidence | None, boundary_mm: float) -> tuple[float, Interval, str]:
    """Volume at follow-up, its interval, and how it was obtained."""
    if evidence is not None and not evidence.was_edited(later):
        ends = Interval(evidence.lower_ml, evidence.upper_ml)
        return evidence.native_ml, ends, "voxel count x voxel volume in the follow-up CT itself"
    value, ends = _volume(later, boundary_mm)
    return value, ends, "voxel count x voxel volume of the segment on the first CT's voxels"


def _nothing_row() -> Measurement:
    """Stands for growth where no blood was found at follow-up: a growth of minus 100 % would say too much."""
    return Measurement(
        "followup_volume",
        "Hematoma volume at follow-up",
        None,
        "mL",
        method="no hematoma was found in the follow-up CT",
        note="none, removed by surgery, or missed: draw it as 'Hematoma at follow-up' if it is there",
        group=GROUP,
    )


def _registration_row(evidence: FollowupEvidence) -> Measurement:
    numbers = evidence.registration
    distance = numbers.get("surface_mean_mm")
    return Measurement(
        "registration",
        "Registration of the skulls",
        distance,
        "mm",
        method="mean distance of the two skulls after rigid registration",
        note=f"turned by {numbers['rotation_degrees']:.1f}°, moved by {numbers['translation_mm']:.1f} mm"
        if evidence.registered
        else f"failed: {evidence.reason}",
        group=GROUP,
    )
