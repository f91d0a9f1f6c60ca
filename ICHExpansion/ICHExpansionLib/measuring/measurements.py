"""What the masks of a hemorrhage measure: volumes, ABC/2, signs, location, growth; for whoever drew the masks.

`measure_hemorrhage` is the whole second half of the pipeline: it runs no network and is run again after every edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PrognosisLib.errors import InputError
from PrognosisLib.findings import Findings, Mask, Measurement
from PrognosisLib.scores import hemorrhage_rows
from PrognosisLib.volume import Volume
from PrognosisLib.volume_interval import volume_interval

from ..definition import Definition
from ..head.brain import Brain
from ..segmenting.attention import AttentionModel
from .abc2 import measure_abc2
from .followup import FOLLOWUP
from .growth import growth_rows
from .location import INFRATENTORIAL, Location, locate
from .mask_flags import mask_flags
from .outlook import expansion_rows, summary
from .sign_rows import location_rows, sign_rows
from .signs import Signs, measure_signs

HEMATOMA, VENTRICULAR, EDEMA = "Hematoma", "Intraventricular hemorrhage", "Perihematomal edema"
VOLUMES = "Volumes"
VENTRICULAR_ML = 0.3  # less is a partial volume of the hematoma's border


def measure_hemorrhage(
    volume: Volume,
    brain: Brain | None,
    masks: Mapping[str, Mask],
    clinical: Mapping[str, Any],
    definition: Definition,
    attention: AttentionModel,
    models: Mapping[str, Mapping[str, Any]],
    boundary_mm: float,
) -> Findings:
    """All rows, flags and the summary that the masks and the clinical values allow.

    Args:
        volume: the first CT, HU; brain: the inside of its skull, None where there is no hematoma.
        masks: by segment name, on the volume's grid.
        definition: what counts as expansion.
        models: the bundle's "image", "clinical", "integrated" and "cohort", as read from JSON.
        boundary_mm: uncertainty of a border drawn by hand or edited.

    Raises:
        InputError: a mask lies on another grid.
    """
    for mask in masks.values():
        if not mask.is_empty and not mask.grid.same_as(volume.grid, tolerance_mm=0.1):
            raise InputError(f"The {mask.name} segment is not on the CT's voxels; choose the CT it was drawn on.")
    hematoma = _filled(masks, HEMATOMA)
    grown = growth_rows(hematoma, masks.get(FOLLOWUP), definition, boundary_mm)
    if hematoma is None or brain is None:
        return _without_hematoma(masks, clinical, definition, attention, models, grown)
    signs, place = measure_signs(volume, hematoma), locate(volume, hematoma, brain)
    blood = _filled(masks, VENTRICULAR)
    ventricular_ml = 0.0 if blood is None else blood.voxel_volume_ml
    rows = volume_rows(masks, signs, boundary_mm)
    risks = expansion_rows(hematoma, signs.volume_ml, ventricular_ml, clinical, definition, attention, models)
    scores = hemorrhage_rows(clinical, signs.volume_ml, ventricular_ml >= VENTRICULAR_ML, _below_tentorium(place))
    flags = mask_flags(volume, hematoma, signs, place, masks)
    every = (*rows, *risks, *grown, *sign_rows(signs), *location_rows(place), *scores)
    return Findings("ich", measurements=every, flags=tuple(flags), summary=summary(every, flags))


def _filled(masks: Mapping[str, Mask], name: str) -> Mask | None:
    mask = masks.get(name)
    return None if mask is None or mask.is_empty else mask


def _below_tentorium(place: Location) -> bool:
    return place.region == INFRATENTORIAL


def _without_hematoma(
    masks: Mapping[str, Mask],
    clinical: Mapping[str, Any],
    definition: Definition,
    attention: AttentionModel,
    models: Mapping[str, Mapping[str, Any]],
    grown: list[Measurement],
) -> Findings:
    rows = [
        Measurement(
            "hematoma_found", "Hematoma", "none found", method="no filled segment named Hematoma", group=VOLUMES
        )
    ]
    blood = _filled(masks, VENTRICULAR)
    if blood is not None:
        rows.append(_counted("ventricular_volume", VENTRICULAR, blood, 0.0))
    rows += expansion_rows(None, 0.0, 0.0, clinical, definition, attention, models)
    rows += [*grown, *hemorrhage_rows(clinical)]
    return Findings("ich", measurements=tuple(rows), summary=summary(rows, []))


def volume_rows(masks: Mapping[str, Mask], signs: Signs, boundary_mm: float) -> list[Measurement]:
    """Volumes of the segments, and ABC/2 beside the hematoma's; the hematoma's is the first row."""
    hematoma = masks[HEMATOMA]
    rows = [_counted("hematoma_volume", "Hematoma volume", hematoma, boundary_mm, place=signs.largest_ras)]
    for key, name in (("ventricular_volume", VENTRICULAR), ("edema_volume", EDEMA)):
        mask = _filled(masks, name)
        if mask is not None:
            rows.append(_counted(key, name, mask, boundary_mm, place=mask.middle_ras))
    edema = _filled(masks, EDEMA)
    if edema is not None:
        ratio = edema.voxel_volume_ml / max(hematoma.voxel_volume_ml, 1e-6)
        rows.append(
            Measurement(
                "relative_edema", "Relative edema", ratio, "", method="edema volume / hematoma volume", group=VOLUMES
            )
        )
    abc = measure_abc2(hematoma)
    lengths = f"A {abc.a_mm / 10:.1f} x B {abc.b_mm / 10:.1f} x C {abc.c_mm / 10:.1f} cm / 2"
    rows += [
        Measurement(
            "abc2_volume",
            "Volume by ABC/2",
            abc.volume_ml,
            "mL",
            method=f"{lengths}, measured on the mask: longest diameter on the largest slice, longest one across, "
            f"and {abc.slices} slices of {abc.slice_mm:.1f} mm",
            note="bedside estimate; 7 % (round) to 32 % (several parts) too large in 83 others (published, other data)",
            group=VOLUMES,
            place=abc.a_ends_ras[0],
        ),
        Measurement(
            "abc2_difference",
            "ABC/2 against the mask's",
            abc.difference_percent,
            "%",
            method="ABC/2 / hematoma volume - 1",
            group=VOLUMES,
        ),
    ]
    return rows


def _counted(
    key: str, label: str, mask: Mask, boundary_mm: float, place: tuple[float, float, float] | None = None
) -> Measurement:
    return Measurement(
        key, label, mask.voxel_volume_ml, "mL", *volume_interval(mask, boundary_mm), group=VOLUMES, place=place
    )
