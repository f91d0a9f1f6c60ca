"""Clinical scores of liver fibrosis from blood values: FIB-4, APRI and the NAFLD fibrosis score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .base import Score, check_positive, check_range, exact

USUAL_AST_LIMIT = 40.0  # U/L, where the laboratory's own is not given
OLD_YEARS, YOUNG_YEARS = 65, 35
_AGE_SOURCE = "McPherson et al., Am J Gastroenterol 2017;112:740"

UNLIKELY, UNDECIDED, LIKELY = "unlikely", "indeterminate", "likely"


def fib4(age_years: float, ast_u_per_l: float, alt_u_per_l: float, platelets_10e9_per_l: float) -> float:
    """Fibrosis-4 index of an adult: age x AST / (platelets x sqrt ALT) (Sterling et al., Hepatology 2006;43:1317).

    Raises InputError under 18 years and for a value out of range.
    """
    age = check_range("age", age_years, 18, 120, "years (FIB-4 is for adults)")
    return (
        age * _enzyme("AST", ast_u_per_l) / (_platelets(platelets_10e9_per_l) * math.sqrt(_enzyme("ALT", alt_u_per_l)))
    )


def fib4_class(score: float) -> str:
    """Advanced fibrosis: unlikely under 1.45, likely over 3.25, else indeterminate (Sterling 2006, hepatitis C)."""
    return _band(score, 1.45, 3.25)


def fib4_class_in_nafld(score: float, age_years: float) -> str:
    """The same in NAFLD: under 1.3 (Shah et al., Clin Gastroenterol Hepatol 2009;7:1104) and over 2.67.

    From 65 years on the lower limit is 2.0 (McPherson et al., Am J Gastroenterol 2017;112:740).
    """
    return _band(score, 2.0 if age_years >= OLD_YEARS else 1.3, 2.67)


def apri(ast_u_per_l: float, ast_upper_limit_u_per_l: float, platelets_10e9_per_l: float) -> float:
    """AST to platelet ratio index: AST / its upper limit of normal / platelets x 100.

    Wai et al., Hepatology 2003;38:518. Raises InputError for a value out of range.
    """
    limit = check_range("upper limit of AST", ast_upper_limit_u_per_l, 10, 100, "U/L")
    return 100.0 * _enzyme("AST", ast_u_per_l) / limit / _platelets(platelets_10e9_per_l)


def apri_class(score: float) -> str:
    """Significant fibrosis: unlikely up to 0.5, likely over 1.5, else indeterminate (Wai 2003, hepatitis C)."""
    return UNLIKELY if exact(score) <= 0.5 else _band(score, 0.5, 1.5)


def nafld_score(
    age_years: float,
    bmi_kg_per_m2: float,
    impaired_glucose: bool,
    ast_u_per_l: float,
    alt_u_per_l: float,
    platelets_10e9_per_l: float,
    albumin_g_per_dl: float,
) -> float:
    """NAFLD fibrosis score of an adult (Angulo et al., Hepatology 2007;45:846).

    -1.675 + 0.037 age + 0.094 BMI + 1.13 impaired glucose + 0.99 AST/ALT - 0.013 platelets - 0.66 albumin;
    impaired glucose: impaired fasting glucose or diabetes. Raises InputError under 18 years and out of range.
    """
    age = check_range("age", age_years, 18, 120, "years (the NAFLD fibrosis score is for adults)")
    ratio = _enzyme("AST", ast_u_per_l) / _enzyme("ALT", alt_u_per_l)
    return (
        -1.675
        + 0.037 * age
        + 0.094 * check_range("BMI", bmi_kg_per_m2, 10, 100, "kg/m²")
        + 1.13 * bool(impaired_glucose)
        + 0.99 * ratio
        - 0.013 * _platelets(platelets_10e9_per_l)
        - 0.66 * check_range("albumin", albumin_g_per_dl, 1, 7, "g/dL")
    )


def nafld_class(score: float, age_years: float) -> str:
    """Advanced fibrosis: unlikely under -1.455, likely over 0.676, else indeterminate (Angulo 2007).

    From 65 years on the lower limit is 0.12 (McPherson et al., Am J Gastroenterol 2017;112:740).
    """
    return _band(score, 0.12 if age_years >= OLD_YEARS else -1.455, 0.676)


def _enzyme(name: str, value: float) -> float:
    return check_range(name, value, 3, 20000, "U/L")


def _platelets(value: float) -> float:
    return check_positive("platelets", value, 1500, "10^9/L")


def _band(score: float, low: float, high: float) -> str:
    score = exact(score)
    return UNLIKELY if score < low else LIKELY if score > high else UNDECIDED


def _young(age: float) -> str:
    """What is added to a note on NAFLD up to 35 years."""
    return "; less reliable up to 35 years of age" if age <= YOUNG_YEARS else ""


def _fib4(v: Mapping[str, Any]) -> tuple[float, str]:
    score = fib4(v["age"], v["ast"], v["alt"], v["platelets"])
    note = f"advanced fibrosis {fib4_class(score)}; in NAFLD {fib4_class_in_nafld(score, v['age'])}"
    return score, note + _young(v["age"])


def _apri(v: Mapping[str, Any]) -> tuple[float, str]:
    limit = v.get("ast_upper_limit")
    score = apri(v["ast"], USUAL_AST_LIMIT if limit is None else limit, v["platelets"])
    taken = f"; upper limit of AST not given, taken as {USUAL_AST_LIMIT:g} U/L" if limit is None else ""
    return score, f"significant fibrosis {apri_class(score)}{taken}"


def _nafld(v: Mapping[str, Any]) -> tuple[float, str]:
    impaired = v["diabetes"] or v.get("impaired_fasting_glucose", False)
    score = nafld_score(v["age"], v["bmi"], impaired, v["ast"], v["alt"], v["platelets"], v["albumin"] / 10)
    note = f"advanced fibrosis {nafld_class(score, v['age'])}, if it is NAFLD{_young(v['age'])}"
    if not v["diabetes"] and "impaired_fasting_glucose" not in v:
        note += "; impaired fasting glucose not given, taken as no"
    return score, note


FIBROSIS_SCORES: tuple[Score, ...] = (
    Score(
        "fib4",
        "FIB-4",
        ("age", "ast", "alt", "platelets"),
        _fib4,
        "Sterling et al., Hepatology 2006;43:1317; limits 1.45 and 3.25, in NAFLD 1.3 (from 65 years on 2.0) and 2.67 "
        f"(Shah et al., Clin Gastroenterol Hepatol 2009;7:1104; {_AGE_SOURCE})",
        unit="",
    ),
    Score(
        "apri",
        "APRI",
        ("ast", "platelets"),
        _apri,
        "Wai et al., Hepatology 2003;38:518; limits 0.5 and 1.5",
        ("ast_upper_limit",),
        unit="",
    ),
    Score(
        "nafld_score",
        "NAFLD fibrosis score",
        ("age", "bmi", "diabetes", "ast", "alt", "platelets", "albumin"),
        _nafld,
        f"Angulo et al., Hepatology 2007;45:846; limits -1.455 (from 65 years on 0.12) and 0.676 ({_AGE_SOURCE})",
        ("impaired_fasting_glucose",),
        unit="",
    ),
)
# Those that significant fibrosis by ultrasound is compared with.
SIGNIFICANT_FIBROSIS_SCORES = tuple(score for score in FIBROSIS_SCORES if score.key in ("fib4", "apri"))
