"""Clinical scores: plain functions whose argument names carry the units; an argument out of range raises InputError.

The registries LIVER_SCORES and TACE_SCORES say which clinical values (clinical.py) a score needs, and `score_rows`
lists scores of a patient, or what each one lacks.
"""

from .base import Score, score_fields, score_rows
from .liver import LIVER_SCORES, albi, albi_grade, child_pugh, child_pugh_class, meld, meld_3, meld_na
from .spleen import (
    KUCYBALA_SCREEN_CM2,
    KUCYBALA_SPLENOMEGALY_ML,
    PRASSOPOULOS_NORMAL_ML,
    SPLENIC_INDEX_LIMIT_CM3,
    is_enlarged,
    is_enlarged_by_screen,
    prassopoulos_volume_ml,
    splenic_index_cm3,
)
from .tace import TACE_SCORES, art, art_class, hap, hap_class, mhap_ii, six_and_twelve, six_and_twelve_class

__all__ = [
    "KUCYBALA_SCREEN_CM2",
    "KUCYBALA_SPLENOMEGALY_ML",
    "LIVER_SCORES",
    "PRASSOPOULOS_NORMAL_ML",
    "SPLENIC_INDEX_LIMIT_CM3",
    "TACE_SCORES",
    "Score",
    "albi",
    "albi_grade",
    "art",
    "art_class",
    "child_pugh",
    "child_pugh_class",
    "hap",
    "hap_class",
    "is_enlarged",
    "is_enlarged_by_screen",
    "meld",
    "meld_3",
    "meld_na",
    "mhap_ii",
    "prassopoulos_volume_ml",
    "score_fields",
    "score_rows",
    "six_and_twelve",
    "six_and_twelve_class",
    "splenic_index_cm3",
]
