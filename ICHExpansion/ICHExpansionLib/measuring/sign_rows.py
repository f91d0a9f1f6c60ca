"""Rows of the signs that a hematoma may expand and of where it lies, each with the place where it is seen best."""

from __future__ import annotations

from PrognosisLib.findings import Interval, Measurement

from .location import Location
from .signs import BLACK_HOLE_HU, HYPODENSE_HU, ISLANDS, ISLANDS_WITH_BUDS, SWIRL_MM, Signs

GROUP, LOCATION = "Signs on plain CT", "Location"
SMOOTHED = "on 5 mm sections, smoothed"


def sign_rows(s: Signs) -> list[Measurement]:
    """Black hole, islands, swirl, hypodensity, heterogeneity and shape, quantified."""
    parts = f"{s.islands} separate, {s.buds} connected"
    return [
        Measurement(
            "black_hole_sign",
            "Black hole sign",
            _yes(s.black_hole),
            method=f"encapsulated dark region at least {BLACK_HOLE_HU:g} HU below its surroundings (Li et al., Stroke "
            f"2016;47:1777); {SMOOTHED}",
            note=f"difference {s.black_hole_hu:.0f} HU, {s.black_hole_area_mm2:.0f} mm²" if s.black_hole_hu else "",
            group=GROUP,
            place=s.black_hole_ras,
        ),
        Measurement(
            "island_sign",
            "Island sign",
            _yes(s.island_sign),
            method=f"at least {ISLANDS} separate small parts, or {ISLANDS_WITH_BUDS} of which some are connected "
            "(Li et al., Stroke 2017;48:3019)",
            note=parts if s.islands or s.buds else "",
            group=GROUP,
            place=next(iter((*s.islands_ras, *s.buds_ras)), None),
        ),
        Measurement(
            "swirl_sign",
            "Swirl sign",
            _yes(s.swirl),
            method=f"region as dark as brain inside the hematoma over {SWIRL_MM:g} mm (two sections); {SMOOTHED}",
            note=f"over {s.swirl_mm:.0f} mm, {s.swirl_ml:.1f} mL" if s.swirl_ml else "",
            group=GROUP,
            place=s.swirl_ras,
        ),
        Measurement(
            "hypodensity",
            "Hypodense part",
            s.hypodense_percent,
            "%",
            method=f"part at least {HYPODENSE_HU:g} HU below the dense part ({s.dense_hu:.0f} HU); {SMOOTHED}",
            note="no threshold for this number is published; hypodensities are read as present or absent",
            group=GROUP,
            place=s.hypodense_ras,
        ),
        Measurement(
            "density_mean",
            "Mean density",
            s.hu_mean,
            "HU",
            method="voxels 2 mm and more inside the border",
            group=GROUP,
            place=s.largest_ras,
        ),
        Measurement(
            "heterogeneity",
            "Density heterogeneity",
            s.hu_cv_percent,
            "%",
            method=f"SD {s.hu_sd:.1f} HU without the noise of {s.noise_hu:.1f} HU, in percent of the mean",
            note="no threshold for this number is published; readers use a 5-point scale (Barras et al., Stroke 2009)",
            group=GROUP,
            place=s.largest_ras,
        ),
        Measurement(
            "irregularity",
            "Shape irregularity",
            s.irregularity,
            "",
            method="perimeter² / (4 π area) of the sections, weighted by area; 1 is a disc",
            note=f"solidity {s.solidity:.2f} (area / area of the convex hull)",
            group=GROUP,
            place=s.largest_ras,
        ),
    ]


def location_rows(place: Location) -> list[Measurement]:
    """Side, distance from the midline and region; an estimate from the skull."""
    distance = abs(place.midline_mm)
    return [
        Measurement(
            "side",
            "Side",
            place.side,
            method="side of the midsagittal plane, found from the skull's symmetry",
            note="crosses the midline" if place.crosses_midline else "",
            group=LOCATION,
            place=place.center_ras,
        ),
        Measurement(
            "midline_distance",
            "Center to midline",
            distance,
            "mm",
            Interval(max(0.0, distance - 4.0), distance + 4.0),
            "distance of the hematoma's center from the midsagittal plane; the plane is good to about 2 mm (1 SD)",
            group=LOCATION,
            place=place.center_ras,
        ),
        Measurement(
            "region",
            "Region",
            place.region,
            method=place.explanation,
            note=f"confidence {place.confidence}; 'Infratentorial' under Patient overrides it in the ICH score",
            group=LOCATION,
            place=place.center_ras,
        ),
        Measurement(
            "skull_depth",
            "Depth below the skull",
            place.depth_mm,
            "mm",
            Interval(max(0.0, place.depth_mm - 3.0), place.depth_mm + 3.0),
            "shortest distance from the hematoma's surface to the inside of the skull, good to about 3 mm",
            group=LOCATION,
            place=place.center_ras,
        ),
    ]


def _yes(value: bool) -> str:
    return "present" if value else "absent"
