"""What a spleen mask measures: volume, density and the 2D surrogates, for any lattice and whoever drew the mask.

`measure_spleen` is the whole second half of the pipeline: it runs no network and is run again after every edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from PrognosisLib import scores, shape
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Findings, Interval, Mask, Measurement
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.volume import Volume

from .flags import cut_sides, quality_flags
from .outlook import group_rows, risk_rows, summary, survival_curves

SIZE, SURROGATES = "Spleen size", "2D surrogates"
NOT_SIGNIFICANT = (
    "diameters did not separate survival in Mueller et al., Eur Radiol 2022 (n = 327; published, other data)"
)


def measure_spleen(
    volume: Volume,
    masks: Mapping[str, Mask],
    clinical: Mapping[str, Any],
    settings: Mapping[str, Any],
    models: Mapping[str, Mapping[str, Any]],
) -> Findings:
    """All rows, flags, curves and the summary of the masks "Spleen" and, where there is one, "Liver".

    Args:
        volume: the CT that the masks were drawn on.
        masks: by segment name, on the volume's grid. Without a Spleen mask only the clinical scores are listed.
        clinical: checked clinical values.
        settings: "cutoff_mL" (None: no group), "boundary_uncertainty_mm" (None: half a voxel), "minimum_confidence".
        models: the bundle's "survival" (Cox), "decompensation" (logistic) and "groups" models, as read from JSON.

    Raises:
        InputError: the Spleen segment is empty, a mask lies on another grid, or the cut-off is no volume.
    """
    score_rows = scores.score_rows(clinical, SYSTEMS["spleen"].scores)
    spleen, liver = masks.get("Spleen"), masks.get("Liver")
    if spleen is None:
        return Findings(
            "spleen", measurements=tuple(score_rows), summary="No spleen was found, so nothing was measured."
        )
    for mask in (spleen, liver):
        if mask is not None and not mask.grid.same_as(volume.grid, tolerance_mm=0.1):
            raise InputError(f"The {mask.name} segment is not on the CT's voxels; choose the CT it was drawn on.")
    if spleen.is_empty:
        raise InputError(
            "The Spleen segment is empty; draw the spleen in Segment Editor or run the segmentation again."
        )
    rows = size_rows(volume, spleen, settings, liver)
    size = rows[0]
    rows += group_rows(size.value, size.interval, settings)
    rows += risk_rows(size.value, size.interval, clinical, models)
    flags = quality_flags(volume, spleen, liver, settings)
    return Findings(
        "spleen",
        measurements=(*rows, *score_rows),
        flags=tuple(flags),
        curves=tuple(survival_curves(size.value, clinical, settings, models)),
        summary=summary(rows, flags),
    )


@dataclass(frozen=True)
class Diameters:
    """Lengths of a mask in mm, and by how much each may be off (mm).

    Args:
        axial: longest diameter in any axial plane.
        width, thickness: longest diameter, and diameter of the largest circle inside, in the largest axial plane.
        length: craniocaudal extent.
        in_plane_error, length_error: largest error of the first three and of the length.
    """

    axial: float
    width: float
    thickness: float
    length: float
    in_plane_error: float
    length_error: float
    end_planes_ml: float
    surface_mm2: float


def measure_diameters(mask: Mask, boundary_mm: float) -> Diameters:
    """Lengths along the patient's axes of a mask that is not empty; `boundary_mm` is the border's own uncertainty."""
    grid = mask.cropped_grid
    surface = shape.border(mask.array, grid)
    stack = shape.axial_stack(mask)
    widths, areas = stack.widths(), stack.areas
    largest = int(np.argmax(areas))
    # Both borders of a length may be off by half a voxel and by the boundary's uncertainty, the same way.
    in_plane = grid.ijk_to_ras[:2, :3].T if stack.resampled else stack.steps
    pixel = float(np.linalg.norm(in_plane, axis=1).max())
    step = float(np.abs(grid.ijk_to_ras[2, :3]).max())
    return Diameters(
        axial=float(widths.max()),
        width=float(widths[largest].max()),
        thickness=stack.thickness(largest),
        # On axial planes the end lies half a plane beyond the last one; on an oblique lattice some center is close by.
        length=float(np.ptp((surface.inner if stack.resampled else surface.points)[:, 2])),
        in_plane_error=pixel + 2.0 * boundary_mm,
        length_error=step + 2.0 * boundary_mm,
        end_planes_ml=float(areas[np.flatnonzero(areas)[[0, -1]]].sum()) * stack.step / 2000.0,
        surface_mm2=surface.area(grid),
    )


def size_rows(
    volume: Volume, spleen: Mask, settings: Mapping[str, Any], liver: Mask | None = None
) -> list[Measurement]:
    """Volume, enlargement, density, surrogates and, where it is whole, the liver; the volume is the first row."""
    measured = settings.get("boundary_uncertainty_mm")
    boundary = 0.5 * float(np.cbrt(1000.0 * spleen.grid.voxel_volume_ml)) if measured is None else float(measured)
    source = "half a voxel" if measured is None else "measured on validation patients"
    diameters = measure_diameters(spleen, boundary)
    size = _volume_row(volume, spleen, diameters, f"{boundary:.2g} mm ({source})", boundary)
    rows = [size, _enlarged_row(size), *_density_rows(volume, spleen)]
    if liver is not None and not liver.is_empty and not cut_sides(volume, liver):
        rows.append(_liver_row(liver))
    return rows + _length_rows(diameters, f"{boundary:.2g} mm") + _surrogate_rows(diameters, size)


def _volume_row(volume: Volume, spleen: Mask, diameters: Diameters, border: str, boundary: float) -> Measurement:
    value = spleen.voxel_volume_ml
    if spleen.volume_ml is not None:
        interval = spleen.volume_ml
        how = "interval from the network's own uncertainty about the border"
    else:
        half = float(np.hypot(diameters.surface_mm2 * boundary / 1000.0, diameters.end_planes_ml))
        interval = Interval(max(0.0, value - half), value + half)
        how = f"interval from surface area x boundary uncertainty of {border} and half a slice at either end"
    sides = cut_sides(volume, spleen)
    note = f"lower bound: the scan cuts the spleen ({', '.join(sides)})" if sides else ""
    return Measurement(
        "spleen_volume", "Spleen volume", value, "mL", interval, f"voxel count x voxel volume; {how}", note, SIZE
    )


def _enlarged_row(size: Measurement) -> Measurement:
    low, high = scores.PRASSOPOULOS_NORMAL_ML
    notes = []
    if size.value < low:
        notes.append(f"below the normal range of {low:g} to {high:g} mL")
    if size.interval.lower <= high <= size.interval.upper:
        notes.append("uncertain: the volume's interval holds the limit")
    return Measurement(
        "spleen_enlarged",
        "Spleen enlarged",
        "yes" if scores.is_enlarged(size.value) else "no",
        method=f"volume over {high:g} mL, the upper end of {low:g} to {high:g} mL in normal spleens "
        "(140 patients, Prassopoulos et al., Eur Radiol 1997;7:246; Kucybala et al., Abdom Radiol 2018)",
        note="; ".join(notes),
        group=SIZE,
    )


def _density_rows(volume: Volume, spleen: Mask) -> list[Measurement]:
    inner = shape.eroded(spleen.array)
    method = "voxels of the mask without its outermost layer"
    if not inner.any():
        inner, method = spleen.array, "all voxels of the mask, which is too thin to leave out its border"
    values = volume.array[spleen.box][inner]
    mean, sd = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    return [
        Measurement("spleen_hu_mean", "Mean density", mean, "HU", method=method, group=SIZE),
        Measurement("spleen_hu_sd", "Density, standard deviation", sd, "HU", method=method, group=SIZE),
    ]


def _liver_row(liver: Mask) -> Measurement:
    return Measurement(
        "liver_volume",
        "Liver volume",
        liver.voxel_volume_ml,
        "mL",
        liver.volume_ml,
        "voxel count x voxel volume",
        "by-product of the spleen network; check the mask before use",
        SIZE,
    )


def _about(value: float, error: float) -> Interval:
    return Interval(max(0.0, value - error), value + error)


def _length_rows(d: Diameters, border: str) -> list[Measurement]:
    how = f"; interval: both ends off by half a voxel and the boundary uncertainty of {border}"
    entries = (
        ("axial_diameter", "Maximal axial diameter", d.axial, d.in_plane_error, "longest distance in any axial plane"),
        ("spleen_width", "Width", d.width, d.in_plane_error, "longest distance in the axial plane of the largest area"),
        (
            "spleen_thickness",
            "Thickness",
            d.thickness,
            d.in_plane_error,
            "largest circle inside the mask in the axial plane of the largest area, which stands for the hilum's",
        ),
        ("craniocaudal_length", "Craniocaudal length", d.length, d.length_error, "extent from bottom to top"),
    )
    notes = {"axial_diameter": NOT_SIGNIFICANT, "craniocaudal_length": NOT_SIGNIFICANT}
    return [
        Measurement(key, label, value, "mm", _about(value, error), method + how, notes.get(key, ""), SURROGATES)
        for key, label, value, error, method in entries
    ]


def _surrogate_rows(d: Diameters, size: Measurement) -> list[Measurement]:
    def ends(of: Any, *lengths: tuple[float, float]) -> tuple[float, Interval]:
        """A product of lengths in cm, and the same with every length at its shortest and at its longest."""
        low, mid, high = ([max(0.1, v + s * e) / 10.0 for v, e in lengths] for s in (-1, 0, 1))
        return of(*mid), Interval(of(*low), of(*high))

    axial, length = (d.axial, d.in_plane_error), (d.length, d.length_error)
    width, thickness = (d.width, d.in_plane_error), (d.thickness, d.in_plane_error)
    how = "; interval: all lengths at the ends of theirs"
    index, index_ends = ends(scores.splenic_index_cm3, axial, length, thickness)
    estimate, estimate_ends = ends(scores.prassopoulos_volume_ml, width, length, thickness)
    screen, screen_ends = ends(lambda a, b: a * b, axial, length)
    above = {True: "above", False: "not above"}
    limit, screen_limit = scores.SPLENIC_INDEX_LIMIT_CM3, scores.KUCYBALA_SCREEN_CM2
    return [
        Measurement(
            "splenic_index",
            "Splenic index",
            index,
            "cm³",
            index_ends,
            f"maximal axial diameter x craniocaudal length x thickness; upper limit {limit:g}{how}",
            f"{above[index > limit]} the upper limit of {limit:g}",
            SURROGATES,
        ),
        Measurement(
            "prassopoulos_volume",
            "Volume from diameters (Prassopoulos)",
            estimate,
            "mL",
            estimate_ends,
            f"30 + 0.58 x width x length x thickness in cm (Prassopoulos et al., Eur Radiol 1997;7:246){how}",
            "an estimate from three lengths; the volume of the mask is the measurement",
            SURROGATES,
        ),
        Measurement(
            "prassopoulos_difference",
            "Volume from diameters against the mask's",
            100.0 * (estimate / size.value - 1.0),
            "%",
            Interval(*(100.0 * (end / size.value - 1.0) for end in (estimate_ends.lower, estimate_ends.upper))),
            "Prassopoulos estimate / spleen volume - 1; interval: that of the estimate",
            group=SURROGATES,
        ),
        Measurement(
            "length_height_product",
            "Length x height (Kucybala screen)",
            screen,
            "cm²",
            screen_ends,
            f"maximal axial diameter x craniocaudal length; over {screen_limit:g} cm² suggests splenomegaly "
            f"(Kucybala et al., Abdom Radiol 2018){how}",
            f"{above[scores.is_enlarged_by_screen(d.axial / 10.0, d.length / 10.0)]} {screen_limit:g} cm²",
            SURROGATES,
        ),
    ]
