"""Clinical scores: plain functions whose argument names carry the units; an argument out of range raises InputError.

The registries LIVER_SCORES, ACLF_SCORES, FIBROSIS_SCORES, TACE_SCORES and HEMORRHAGE_SCORES say which clinical values
(clinical_fields.py) and measurements a score needs, and `score_rows` lists scores of a patient, or what each one lacks.
"""

from .aclf import ACLF_SCORES, aarc, aarc_grade, clif_c_aclf, clif_c_of, cossh_aclf_ii, cossh_aclf_ii_class
from .base import Score, score_fields, score_rows
from .fibrosis import (
    FIBROSIS_SCORES,
    SIGNIFICANT_FIBROSIS_SCORES,
    apri,
    apri_class,
    fib4,
    fib4_class,
    fib4_class_in_nafld,
    nafld_class,
    nafld_score,
)
from .hemorrhage import (
    HEMORRHAGE_SCORES,
    abc2_ml,
    brain,
    brain_probability,
    hemorrhage_rows,
    ich_mortality_percent,
    ich_score,
    nag,
)
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
    "ACLF_SCORES",
    "FIBROSIS_SCORES",
    "HEMORRHAGE_SCORES",
    "KUCYBALA_SCREEN_CM2",
    "KUCYBALA_SPLENOMEGALY_ML",
    "LIVER_SCORES",
    "PRASSOPOULOS_NORMAL_ML",
    "SIGNIFICANT_FIBROSIS_SCORES",
    "SPLENIC_INDEX_LIMIT_CM3",
    "TACE_SCORES",
    "Score",
    "aarc",
    "aarc_grade",
    "abc2_ml",
    "albi",
    "albi_grade",
    "apri",
    "apri_class",
    "art",
    "art_class",
    "brain",
    "brain_probability",
    "child_pugh",
    "child_pugh_class",
    "clif_c_aclf",
    "clif_c_of",
    "cossh_aclf_ii",
    "cossh_aclf_ii_class",
    "fib4",
    "fib4_class",
    "fib4_class_in_nafld",
    "hap",
    "hap_class",
    "hemorrhage_rows",
    "ich_mortality_percent",
    "ich_score",
    "is_enlarged",
    "is_enlarged_by_screen",
    "meld",
    "meld_3",
    "meld_na",
    "mhap_ii",
    "nafld_class",
    "nafld_score",
    "nag",
    "prassopoulos_volume_ml",
    "score_fields",
    "score_rows",
    "six_and_twelve",
    "six_and_twelve_class",
    "splenic_index_cm3",
]
