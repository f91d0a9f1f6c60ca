"""Clinical scores of liver function, from plain numbers whose argument names carry the units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..clinical_fields import BILIRUBIN_UMOL_PER_MG_DL, FIELDS
from .base import (
    Score,
    bilirubin_creatinine_mg,
    check_bilirubin,
    check_creatinine,
    check_grade,
    check_inr,
    check_range,
    encephalopathy_class,
    exact,
)


def albi(bilirubin_umol_per_l: float, albumin_g_per_l: float) -> float:
    """Albumin-bilirubin score: 0.66 log10 bilirubin - 0.085 albumin (Johnson et al., J Clin Oncol 2015;33:550)."""
    bilirubin = check_range("bilirubin", bilirubin_umol_per_l, 1, 1000, "umol/L")
    return 0.66 * math.log10(bilirubin) - 0.085 * check_range("albumin", albumin_g_per_l, 10, 70, "g/L")


def albi_grade(score: float) -> int:
    """ALBI grade: 1 up to -2.60, 2 up to -1.39, else 3 (Johnson 2015)."""
    return 1 if score <= -2.60 else 2 if score <= -1.39 else 3


def child_pugh(
    bilirubin_mg_per_dl: float, albumin_g_per_dl: float, inr: float, ascites_grade: int, encephalopathy_grade: int
) -> int:
    """Child-Pugh points, 5 to 15 (Pugh et al., Br J Surg 1973;60:646, with the INR in place of the prothrombin time).

    ascites_grade: 0 none, 1 slight, 2 moderate or severe; encephalopathy_grade: 0 to 4. A value on a limit
    (bilirubin 2 and 3 mg/dL, albumin 2.8 and 3.5 g/dL, INR 1.7 and 2.3) counts as the middle class.
    """
    bilirubin = exact(check_bilirubin(bilirubin_mg_per_dl))
    albumin = exact(check_range("albumin", albumin_g_per_dl, 1, 7, "g/dL"))
    ratio = check_inr(inr)
    ascites = check_grade(ascites_grade, 2, "ascites grade")
    return (
        (1 if bilirubin < 2 else 2 if bilirubin <= 3 else 3)
        + (1 if albumin > 3.5 else 2 if albumin >= 2.8 else 3)
        + (1 if ratio < 1.7 else 2 if ratio <= 2.3 else 3)
        + ascites
        + 1
        + encephalopathy_class(encephalopathy_grade)
    )


def child_pugh_class(points: int) -> str:
    """A for 5-6, B for 7-9, C for 10-15 points."""
    check_range("Child-Pugh points", points, 5, 15)
    return "A" if points <= 6 else "B" if points <= 9 else "C"


def meld(bilirubin_mg_per_dl: float, inr: float, creatinine_mg_per_dl: float, dialysis: bool = False) -> int:
    """Model for End-stage Liver Disease, a whole number from 6 to 40 (Kamath et al., Hepatology 2001;33:464).

    Values under 1 count as 1, creatinine over 4 mg/dL as 4, and so does dialysis.
    """
    bilirubin, ratio = max(check_bilirubin(bilirubin_mg_per_dl), 1.0), max(check_inr(inr), 1.0)
    creatinine = min(max(check_creatinine(creatinine_mg_per_dl), 1.0), 4.0)
    if dialysis:
        creatinine = 4.0
    score = 10 * (0.957 * math.log(creatinine) + 0.378 * math.log(bilirubin) + 1.120 * math.log(ratio) + 0.643)
    return min(max(math.floor(score + 0.5), 6), 40)


def meld_na(meld_points: int, sodium_mmol_per_l: float) -> float:
    """MELD with sodium (Kim et al., N Engl J Med 2008;359:1018, as used for allocation in the US since 2016).

    MELD up to 11 stays as it is; sodium counts between 125 and 137. Not rounded; the score in use is the whole number.
    """
    points = check_range("MELD", meld_points, 6, 40)
    lack = 137 - min(max(check_range("sodium", sodium_mmol_per_l, 100, 180, "mmol/L"), 125.0), 137.0)
    return points if points <= 11 else points + 1.32 * lack - 0.033 * points * lack


def meld_3(
    age_years: float,
    female: bool,
    bilirubin_mg_per_dl: float,
    sodium_mmol_per_l: float,
    inr: float,
    creatinine_mg_per_dl: float,
    albumin_g_per_dl: float,
    dialysis: bool = False,
) -> float:
    """MELD 3.0 of an adult (Kim et al., Gastroenterology 2021;161:1887). Not rounded; in use as a whole number.

    Bilirubin, INR and creatinine under 1 count as 1, creatinine over 3 mg/dL or dialysis as 3, sodium between 125 and
    137 mmol/L, albumin between 1.5 and 3.5 g/dL.
    """
    check_range("age", age_years, 18, 120, "years (MELD 3.0 is for adults)")
    log_bilirubin = math.log(max(check_bilirubin(bilirubin_mg_per_dl), 1.0))
    lack = 137 - min(max(check_range("sodium", sodium_mmol_per_l, 100, 180, "mmol/L"), 125.0), 137.0)
    creatinine = min(max(check_creatinine(creatinine_mg_per_dl), 1.0), 3.0)
    log_creatinine = math.log(3.0 if dialysis else creatinine)
    low_albumin = 3.5 - min(max(check_range("albumin", albumin_g_per_dl, 1, 7, "g/dL"), 1.5), 3.5)
    return (
        1.33 * bool(female)
        + 4.56 * log_bilirubin
        + 0.82 * lack
        - 0.24 * lack * log_bilirubin
        + 9.09 * math.log(max(check_inr(inr), 1.0))
        + 11.14 * log_creatinine
        + 1.85 * low_albumin
        - 1.83 * low_albumin * log_creatinine
        + 6
    )


def _dialysis_note(values: Mapping[str, Any]) -> str:
    return "" if "dialysis" in values else "dialysis not given, taken as no"


def _albi(v: Mapping[str, Any]) -> tuple[float, str]:
    score = albi(v["bilirubin"], v["albumin"])
    return score, f"grade {albi_grade(score)}"


def _child_pugh(v: Mapping[str, Any]) -> tuple[float, str]:
    ascites = FIELDS["ascites"].choices.index(v["ascites"])
    bilirubin = v["bilirubin"] / BILIRUBIN_UMOL_PER_MG_DL
    points = child_pugh(bilirubin, v["albumin"] / 10, v["inr"], ascites, v["encephalopathy"])
    return points, f"class {child_pugh_class(points)}"


def _meld(v: Mapping[str, Any]) -> tuple[float, str]:
    bilirubin, creatinine = bilirubin_creatinine_mg(v)
    return meld(bilirubin, v["inr"], creatinine, v.get("dialysis", False)), _dialysis_note(v)


def _meld_na(v: Mapping[str, Any]) -> tuple[float, str]:
    return _rounded(meld_na(int(_meld(v)[0]), v["sodium"]), v)


def _meld_3(v: Mapping[str, Any]) -> tuple[float, str]:
    bilirubin, creatinine = bilirubin_creatinine_mg(v)
    female, dialysis = v["sex"] == "female", v.get("dialysis", False)
    score = meld_3(v["age"], female, bilirubin, v["sodium"], v["inr"], creatinine, v["albumin"] / 10, dialysis)
    return _rounded(score, v)


def _rounded(score: float, v: Mapping[str, Any]) -> tuple[float, str]:
    note = f"{math.floor(score + 0.5)} as a whole number"
    return score, "; ".join(part for part in (note, _dialysis_note(v)) if part)


_MELD_KEYS = ("bilirubin", "inr", "creatinine")
LIVER_SCORES: tuple[Score, ...] = (
    Score("albi", "ALBI", ("bilirubin", "albumin"), _albi, "Johnson et al., J Clin Oncol 2015;33:550", unit=""),
    Score(
        "child_pugh",
        "Child-Pugh",
        ("bilirubin", "albumin", "inr", "ascites", "encephalopathy"),
        _child_pugh,
        "Pugh et al., Br J Surg 1973;60:646, with INR",
    ),
    Score("meld", "MELD", _MELD_KEYS, _meld, "Kamath et al., Hepatology 2001;33:464", ("dialysis",)),
    Score(
        "meld_na",
        "MELD-Na",
        (*_MELD_KEYS, "sodium"),
        _meld_na,
        "Kim et al., N Engl J Med 2008;359:1018, US allocation form of 2016",
        ("dialysis",),
    ),
    Score(
        "meld_3",
        "MELD 3.0",
        ("age", "sex", *_MELD_KEYS, "sodium", "albumin"),
        _meld_3,
        "Kim et al., Gastroenterology 2021;161:1887",
        ("dialysis",),
    ),
)
