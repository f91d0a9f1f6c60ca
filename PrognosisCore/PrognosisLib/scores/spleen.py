"""Spleen size from diameters, and what counts as an enlarged spleen."""

from __future__ import annotations

import math

from .base import check_positive

PRASSOPOULOS_NORMAL_ML = (107.2, 314.5)  # normal range; mean 214.6
KUCYBALA_SPLENOMEGALY_ML = 314.5
KUCYBALA_SCREEN_CM2 = 115.0
SPLENIC_INDEX_LIMIT_CM3 = 480.0


def prassopoulos_volume_ml(width_cm: float, length_cm: float, thickness_cm: float) -> float:
    """Spleen volume: 30 + 0.58 width x length x thickness (Prassopoulos et al., Eur Radiol 1997;7:246)."""
    return 30 + 0.58 * splenic_index_cm3(length_cm, width_cm, thickness_cm)


def splenic_index_cm3(length_cm: float, width_cm: float, thickness_cm: float) -> float:
    """Splenic index: product of the three diameters; the upper limit of normal is 480 cm3."""
    return math.prod(
        check_positive(name, value, 50, "cm")
        for name, value in (("length", length_cm), ("width", width_cm), ("thickness", thickness_cm))
    )


def is_enlarged(volume_ml: float) -> bool:
    """Splenomegaly: volume over 314.5 mL (Kucybala et al., Abdom Radiol 2018)."""
    return check_positive("spleen volume", volume_ml, 10000, "mL") > KUCYBALA_SPLENOMEGALY_ML


def is_enlarged_by_screen(max_length_cm: float, vertical_height_cm: float) -> bool:
    """Screen for splenomegaly: longest diameter x vertical height over 115 cm2 (Kucybala et al., Abdom Radiol 2018)."""
    length = check_positive("longest diameter", max_length_cm, 50, "cm")
    return length * check_positive("vertical height", vertical_height_cm, 50, "cm") > KUCYBALA_SCREEN_CM2
