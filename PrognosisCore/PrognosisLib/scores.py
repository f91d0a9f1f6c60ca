"""Clinical scores of the liver and of hepatocellular carcinoma before transarterial chemoembolization (TACE).

Each score is a plain function whose argument names carry the units; an argument out of range raises InputError. The
registries LIVER_SCORES and TACE_SCORES say which clinical values (clinical.py) a score needs, and `score_rows` lists
all scores of a patient, or what each one lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .clinical import BILIRUBIN_UMOL_PER_MG_DL, CREATININE_UMOL_PER_MG_DL, FIELDS, ClinicalField, fields_of
from .errors import InputError
from .findings import Measurement

PRASSOPOULOS_NORMAL_ML = (107.2, 314.5)  # normal range; mean 214.6
KUCYBALA_SPLENOMEGALY_ML = 314.5
KUCYBALA_SCREEN_CM2 = 115.0
SPLENIC_INDEX_LIMIT_CM3 = 480.0


def _check(name: str, value: float, low: float, high: float, unit: str = "") -> float:
    if isinstance(value, (str, bool)) or not low <= value <= high:  # NaN fails the comparison too
        raise InputError(f"{name} {value} is outside {low:g} to {high:g} {unit}".rstrip() + "; check value and unit.")
    return float(value)


def _positive(name: str, value: float, high: float, unit: str) -> float:
    if isinstance(value, (str, bool)) or not 0 < value <= high:
        raise InputError(f"{name} {value} {unit} must be over 0 and at most {high:g} {unit}; check value and unit.")
    return float(value)


def _bilirubin_mg_dl(value: float) -> float:
    return _check("bilirubin", value, 0.05, 60, "mg/dL")


def _inr(value: float) -> float:
    return _check("INR", value, 0.5, 15)


def _grade(value: int, high: int, name: str) -> int:
    if isinstance(value, bool) or value not in range(high + 1):
        raise InputError(f"{name} must be a whole number from 0 to {high}, not {value}.")
    return int(value)


# --- liver function -------------------------------------------------------------------------------------------------


def albi(bilirubin_umol_per_l: float, albumin_g_per_l: float) -> float:
    """Albumin-bilirubin score: 0.66 log10 bilirubin - 0.085 albumin (Johnson et al., J Clin Oncol 2015;33:550)."""
    bilirubin = _check("bilirubin", bilirubin_umol_per_l, 1, 1000, "umol/L")
    return 0.66 * math.log10(bilirubin) - 0.085 * _check("albumin", albumin_g_per_l, 10, 70, "g/L")


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
    # limits are compared after rounding away the dust of a unit conversion
    bilirubin = round(_bilirubin_mg_dl(bilirubin_mg_per_dl), 6)
    albumin = round(_check("albumin", albumin_g_per_dl, 1, 7, "g/dL"), 6)
    ratio = _inr(inr)
    ascites = _grade(ascites_grade, 2, "ascites grade")
    encephalopathy = _grade(encephalopathy_grade, 4, "encephalopathy grade")
    return (
        (1 if bilirubin < 2 else 2 if bilirubin <= 3 else 3)
        + (1 if albumin > 3.5 else 2 if albumin >= 2.8 else 3)
        + (1 if ratio < 1.7 else 2 if ratio <= 2.3 else 3)
        + ascites
        + 1
        + (1 if encephalopathy == 0 else 2 if encephalopathy <= 2 else 3)
    )


def child_pugh_class(points: int) -> str:
    """A for 5-6, B for 7-9, C for 10-15 points."""
    _check("Child-Pugh points", points, 5, 15)
    return "A" if points <= 6 else "B" if points <= 9 else "C"


def meld(bilirubin_mg_per_dl: float, inr: float, creatinine_mg_per_dl: float, dialysis: bool = False) -> int:
    """Model for End-stage Liver Disease, a whole number from 6 to 40 (Kamath et al., Hepatology 2001;33:464).

    Values under 1 count as 1, creatinine over 4 mg/dL as 4, and so does dialysis.
    """
    bilirubin, ratio = max(_bilirubin_mg_dl(bilirubin_mg_per_dl), 1.0), max(_inr(inr), 1.0)
    creatinine = min(max(_check("creatinine", creatinine_mg_per_dl, 0.1, 25, "mg/dL"), 1.0), 4.0)
    if dialysis:
        creatinine = 4.0
    score = 10 * (0.957 * math.log(creatinine) + 0.378 * math.log(bilirubin) + 1.120 * math.log(ratio) + 0.643)
    return min(max(math.floor(score + 0.5), 6), 40)


def meld_na(meld_points: int, sodium_mmol_per_l: float) -> float:
    """MELD with sodium (Kim et al., N Engl J Med 2008;359:1018, as used for allocation in the US since 2016).

    MELD up to 11 stays as it is; sodium counts between 125 and 137. Not rounded; the score in use is the whole number.
    """
    points = _check("MELD", meld_points, 6, 40)
    lack = 137 - min(max(_check("sodium", sodium_mmol_per_l, 100, 180, "mmol/L"), 125.0), 137.0)
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
    _check("age", age_years, 18, 120, "years (MELD 3.0 is for adults)")
    log_bilirubin = math.log(max(_bilirubin_mg_dl(bilirubin_mg_per_dl), 1.0))
    lack = 137 - min(max(_check("sodium", sodium_mmol_per_l, 100, 180, "mmol/L"), 125.0), 137.0)
    creatinine = min(max(_check("creatinine", creatinine_mg_per_dl, 0.1, 25, "mg/dL"), 1.0), 3.0)
    log_creatinine = math.log(3.0 if dialysis else creatinine)
    low_albumin = 3.5 - min(max(_check("albumin", albumin_g_per_dl, 1, 7, "g/dL"), 1.5), 3.5)
    return (
        1.33 * bool(female)
        + 4.56 * log_bilirubin
        + 0.82 * lack
        - 0.24 * lack * log_bilirubin
        + 9.09 * math.log(max(_inr(inr), 1.0))
        + 11.14 * log_creatinine
        + 1.85 * low_albumin
        - 1.83 * low_albumin * log_creatinine
        + 6
    )


# --- TACE -----------------------------------------------------------------------------------------------------------


def hap(tumor_size_cm: float, afp_ng_per_ml: float, albumin_g_per_l: float, bilirubin_umol_per_l: float) -> int:
    """Hepatoma arterial-embolization prognostic score, 0 to 4 (Kadalayil et al., Ann Oncol 2013;24:2565).

    One point each: size over 7 cm, AFP over 400 ng/mL, albumin under 36 g/L, bilirubin over 17 umol/L.
    """
    return (
        int(_positive("tumor size", tumor_size_cm, 30, "cm") > 7)
        + int(_check("AFP", afp_ng_per_ml, 0, 1e7, "ng/mL") > 400)
        + int(_check("albumin", albumin_g_per_l, 10, 70, "g/L") < 36)
        + int(_check("bilirubin", bilirubin_umol_per_l, 1, 1000, "umol/L") > 17)
    )


def mhap_ii(
    tumor_size_cm: float,
    tumor_number: int,
    afp_ng_per_ml: float,
    albumin_g_per_l: float,
    bilirubin_umol_per_l: float,
) -> int:
    """Modified HAP-II, 0 to 5: HAP and one point for two or more tumors (Park et al., Liver Int 2016;36:100)."""
    several = _check("number of tumors", tumor_number, 1, 200) >= 2
    return hap(tumor_size_cm, afp_ng_per_ml, albumin_g_per_l, bilirubin_umol_per_l) + int(several)


def hap_class(points: int) -> str:
    """A for 0, B for 1, C for 2, D for 3 and more points, of HAP and mHAP-II alike."""
    return "ABCD"[min(int(_check("HAP points", points, 0, 5)), 3)]


def six_and_twelve(tumor_size_cm: float, tumor_number: int) -> float:
    """Largest diameter in cm plus number of tumors (Wang et al., J Hepatol 2019;70:893)."""
    return _positive("tumor size", tumor_size_cm, 30, "cm") + _check("number of tumors", tumor_number, 1, 200)


def six_and_twelve_class(total: float) -> str:
    """Low up to 6, intermediate up to 12, else high."""
    return "low" if total <= 6 else "intermediate" if total <= 12 else "high"


def art(
    ast_before_u_per_l: float,
    ast_after_u_per_l: float,
    child_pugh_before: int,
    child_pugh_after: int,
    radiological_response: bool,
) -> float:
    """Assessment for retreatment with TACE, before the second session (Sieghart et al., Hepatology 2013;57:2261).

    AST rise over 25 % 4; Child-Pugh rise of one point 1.5, of two and more 3; no radiological response 1.
    """
    before = _check("AST before TACE", ast_before_u_per_l, 3, 20000, "U/L")
    rise = _check("AST after TACE", ast_after_u_per_l, 3, 20000, "U/L") / before > 1.25
    worse = _check("Child-Pugh", child_pugh_after, 5, 15) - _check("Child-Pugh", child_pugh_before, 5, 15)
    return 4.0 * rise + (3.0 if worse >= 2 else 1.5 if worse >= 1 else 0.0) + (0.0 if radiological_response else 1.0)


def art_class(points: float) -> str:
    """Low risk for 0 to 1.5, high risk from 2.5 points."""
    return "low risk" if points <= 1.5 else "high risk"


# --- spleen size from diameters --------------------------------------------------------------------------------------


def prassopoulos_volume_ml(width_cm: float, length_cm: float, thickness_cm: float) -> float:
    """Spleen volume: 30 + 0.58 width x length x thickness (Prassopoulos et al., Eur Radiol 1997;7:246)."""
    return 30 + 0.58 * splenic_index_cm3(length_cm, width_cm, thickness_cm)


def splenic_index_cm3(length_cm: float, width_cm: float, thickness_cm: float) -> float:
    """Splenic index: product of the three diameters; the upper limit of normal is 480 cm3."""
    return math.prod(
        _positive(name, value, 50, "cm")
        for name, value in (("length", length_cm), ("width", width_cm), ("thickness", thickness_cm))
    )


def is_enlarged(volume_ml: float) -> bool:
    """Splenomegaly: volume over 314.5 mL (Kucybala et al., Abdom Radiol 2018)."""
    return _positive("spleen volume", volume_ml, 10000, "mL") > KUCYBALA_SPLENOMEGALY_ML


def is_enlarged_by_screen(max_length_cm: float, vertical_height_cm: float) -> bool:
    """Screen for splenomegaly: longest diameter x vertical height over 115 cm2 (Kucybala et al., Abdom Radiol 2018)."""
    length = _positive("longest diameter", max_length_cm, 50, "cm")
    return length * _positive("vertical height", vertical_height_cm, 50, "cm") > KUCYBALA_SCREEN_CM2


# --- registries ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """One score of the table: the clinical values it needs, and what turns them into a number and a note."""

    key: str
    label: str
    needs: tuple[str, ...]
    compute: Callable[[Mapping[str, Any]], tuple[float, str]]
    method: str
    optional: tuple[str, ...] = ()
    unit: str = "points"


def _mg(values: Mapping[str, Any]) -> tuple[float, float]:
    """Bilirubin and creatinine in mg/dL."""
    return values["bilirubin"] / BILIRUBIN_UMOL_PER_MG_DL, values["creatinine"] / CREATININE_UMOL_PER_MG_DL


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
    bilirubin, creatinine = _mg(v)
    return meld(bilirubin, v["inr"], creatinine, v.get("dialysis", False)), _dialysis_note(v)


def _meld_na(v: Mapping[str, Any]) -> tuple[float, str]:
    return _rounded(meld_na(int(_meld(v)[0]), v["sodium"]), v)


def _meld_3(v: Mapping[str, Any]) -> tuple[float, str]:
    bilirubin, creatinine = _mg(v)
    female, dialysis = v["sex"] == "female", v.get("dialysis", False)
    score = meld_3(v["age"], female, bilirubin, v["sodium"], v["inr"], creatinine, v["albumin"] / 10, dialysis)
    return _rounded(score, v)


def _rounded(score: float, v: Mapping[str, Any]) -> tuple[float, str]:
    note = f"{math.floor(score + 0.5)} as a whole number"
    return score, "; ".join(part for part in (note, _dialysis_note(v)) if part)


def _hap(v: Mapping[str, Any]) -> tuple[float, str]:
    points = hap(v["tumor_size"], v["afp"], v["albumin"], v["bilirubin"])
    return points, f"HAP {hap_class(points)}"


def _mhap_ii(v: Mapping[str, Any]) -> tuple[float, str]:
    points = mhap_ii(v["tumor_size"], v["tumor_number"], v["afp"], v["albumin"], v["bilirubin"])
    return points, f"mHAP-II {hap_class(points)}"


def _six_and_twelve(v: Mapping[str, Any]) -> tuple[float, str]:
    total = six_and_twelve(v["tumor_size"], v["tumor_number"])
    return total, f"{six_and_twelve_class(total)} tumor burden"


_ART_KEYS = (
    "ast_before_tace",
    "ast_after_tace",
    "child_pugh_before_tace",
    "child_pugh_after_tace",
    "radiological_response",
)


def _art(v: Mapping[str, Any]) -> tuple[float, str]:
    points = art(*(v[key] for key in _ART_KEYS))
    return points, art_class(points)


_HAP_KEYS = ("tumor_size", "afp", "albumin", "bilirubin")
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
TACE_SCORES: tuple[Score, ...] = (
    Score("hap", "HAP", _HAP_KEYS, _hap, "Kadalayil et al., Ann Oncol 2013;24:2565"),
    Score("mhap_ii", "mHAP-II", (*_HAP_KEYS, "tumor_number"), _mhap_ii, "Park et al., Liver Int 2016;36:100"),
    Score(
        "six_and_twelve",
        "Six-and-twelve",
        ("tumor_size", "tumor_number"),
        _six_and_twelve,
        "Wang et al., J Hepatol 2019;70:893",
    ),
    Score("art", "ART", _ART_KEYS, _art, "Sieghart et al., Hepatology 2013;57:2261; before the second TACE"),
)


def score_fields(scores: Iterable[Score]) -> tuple[ClinicalField, ...]:
    """The clinical fields that these scores use."""
    return fields_of(key for score in scores for key in (*score.needs, *score.optional))


def score_rows(
    values: Mapping[str, Any], scores: Iterable[Score] = LIVER_SCORES + TACE_SCORES, group: str = "Clinical scores"
) -> list[Measurement]:
    """One row per score, from checked clinical values (clinical.check_clinical).

    A score whose inputs are not all there, or which is not meant for the patient, has value None and a note saying why.
    """
    rows = []
    for score in scores:
        absent = [FIELDS[key].label for key in score.needs if values.get(key) is None]
        value, note = None, f"missing: {', '.join(absent)}"
        if not absent:
            try:
                value, note = score.compute(values)
            except InputError as error:
                note = str(error)
        value = round(value, 4) if isinstance(value, float) else value
        rows.append(Measurement(score.key, score.label, value, score.unit, method=score.method, note=note, group=group))
    return rows
