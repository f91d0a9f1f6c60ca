"""Clinical scores of acute-on-chronic liver failure, from plain numbers whose argument names carry the units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .base import (
    Score,
    bilirubin_creatinine_mg,
    check_bilirubin,
    check_creatinine,
    check_inr,
    check_range,
    check_truth,
    encephalopathy_class,
    exact,
)

UNCONFIRMED = "coding to be confirmed"
_FOR_ACLF = "meant for acute-on-chronic liver failure"


def clif_c_of(
    bilirubin_mg_per_dl: float,
    creatinine_mg_per_dl: float,
    encephalopathy_grade: int,
    inr: float,
    mean_arterial_pressure_mmhg: float | None = None,
    vasopressors: bool = False,
    pao2_fio2_mmhg: float | None = None,
    spo2_fio2: float | None = None,
    renal_replacement: bool = False,
) -> int:
    """CLIF-C organ failure score, 6 to 18 (Jalan et al., J Hepatol 2014;61:1038).

    One to three points for each of six organs. Liver: bilirubin under 6, up to 12, above. Kidney: creatinine under 2,
    under 3.5, from 3.5 mg/dL on or renal replacement. Brain: encephalopathy grade 0, 1 to 2, 3 to 4. Coagulation: INR
    under 2, under 2.5, from 2.5 on. Circulation: mean arterial pressure from 70 mmHg on, under 70, vasopressors. Lungs:
    PaO2/FiO2 over 300, over 200, up to 200 mmHg; where it is not given, SpO2/FiO2 over 357, over 214, up to 214.

    Raises:
        InputError: a value out of range, no pressure without vasopressors, or neither oxygen ratio.
    """
    bilirubin = exact(check_bilirubin(bilirubin_mg_per_dl))
    creatinine = exact(check_creatinine(creatinine_mg_per_dl))
    ratio = exact(check_inr(inr))
    kidney = 3 if check_truth("renal replacement", renal_replacement) else 1 + (creatinine >= 2) + (creatinine >= 3.5)
    return (
        (1 + (bilirubin >= 6) + (bilirubin > 12))
        + kidney
        + encephalopathy_class(encephalopathy_grade)
        + (1 + (ratio >= 2) + (ratio >= 2.5))
        + _circulation(mean_arterial_pressure_mmhg, vasopressors)
        + _lungs(pao2_fio2_mmhg, spo2_fio2)
    )


def _circulation(pressure_mmhg: float | None, vasopressors: bool) -> int:
    if check_truth("vasopressors", vasopressors):
        return 3
    if pressure_mmhg is None:
        raise InputError("missing: Mean arterial pressure, since no vasopressors are given")
    return 1 if exact(check_range("mean arterial pressure", pressure_mmhg, 20, 200, "mmHg")) >= 70 else 2


def _lungs(pao2_fio2_mmhg: float | None, spo2_fio2: float | None) -> int:
    if pao2_fio2_mmhg is not None:
        ratio, limits = exact(check_range("PaO2/FiO2", pao2_fio2_mmhg, 20, 800, "mmHg")), (300, 200)
    elif spo2_fio2 is not None:
        ratio, limits = exact(check_range("SpO2/FiO2", spo2_fio2, 40, 477)), (357, 214)
    else:
        raise InputError("missing: PaO2/FiO2 or SpO2/FiO2")
    return 1 if ratio > limits[0] else 2 if ratio > limits[1] else 3


def clif_c_aclf(organ_failure_points: int, age_years: float, wbc_10e9_per_l: float) -> float:
    """CLIF-C ACLF score of an adult: 10 (0.33 OF + 0.04 age + 0.63 ln white cells - 2) (Jalan 2014).

    Raises InputError under 18 years and for a value out of range.
    """
    points = check_range("CLIF-C OF", organ_failure_points, 6, 18, "points")
    age = check_range("age", age_years, 18, 120, "years (CLIF-C ACLF is for adults)")
    return 10 * (0.33 * points + 0.04 * age + 0.63 * math.log(_cells("white blood cells", wbc_10e9_per_l)) - 2)


def cossh_aclf_ii(
    inr: float,
    encephalopathy_grade: int,
    neutrophils_10e9_per_l: float,
    bilirubin_umol_per_l: float,
    urea_mmol_per_l: float,
    age_years: float,
) -> float:
    """COSSH-ACLF II score of an adult with hepatitis B (Li et al., J Hepatol 2021;75:1104).

    1.649 ln INR + 0.457 encephalopathy + 0.425 ln neutrophils + 0.396 ln bilirubin + 0.576 ln urea + 0.033 age, with
    encephalopathy 1 without, 2 for grade 1 and 2, 3 for grade 3 and 4. That coding and the units are to be confirmed:
    whoever shows the score says so. Raises InputError under 18 years and for a value out of range.
    """
    age = check_range("age", age_years, 18, 120, "years (COSSH-ACLF II is for adults)")
    return (
        1.649 * math.log(check_inr(inr))
        + 0.457 * encephalopathy_class(encephalopathy_grade)
        + 0.425 * math.log(_cells("neutrophils", neutrophils_10e9_per_l))
        + 0.396 * math.log(check_range("bilirubin", bilirubin_umol_per_l, 1, 1000, "umol/L"))
        + 0.576 * math.log(check_range("urea", urea_mmol_per_l, 0.3, 100, "mmol/L"))
        + 0.033 * age
    )


def cossh_aclf_ii_class(score: float) -> str:
    """Low risk under 7.4, intermediate under 8.4, else high (Li 2021)."""
    score = exact(score)
    return "low risk" if score < 7.4 else "intermediate risk" if score < 8.4 else "high risk"


def aarc(
    bilirubin_mg_per_dl: float,
    encephalopathy_grade: int,
    inr: float,
    lactate_mmol_per_l: float,
    creatinine_mg_per_dl: float,
) -> int:
    """AARC score, 5 to 15 (APASL ACLF Research Consortium; Choudhury et al., Hepatol Int 2017;11:461).

    One to three points each: bilirubin under 15, up to 25, over 25 mg/dL; encephalopathy grade 0, 1 to 2, 3 to 4; INR
    under 1.8, up to 2.5, over 2.5; lactate under 1.5, up to 2.5, over 2.5 mmol/L; creatinine under 0.7, up to 1.5, over
    1.5 mg/dL.
    """
    limited = (
        (check_bilirubin(bilirubin_mg_per_dl), 15, 25),
        (check_inr(inr), 1.8, 2.5),
        (check_range("lactate", lactate_mmol_per_l, 0.1, 40, "mmol/L"), 1.5, 2.5),
        (check_creatinine(creatinine_mg_per_dl), 0.7, 1.5),
    )
    points = sum(1 + (exact(value) >= low) + (exact(value) > high) for value, low, high in limited)
    return points + encephalopathy_class(encephalopathy_grade)


def aarc_grade(points: int) -> str:
    """I for 5-7, II for 8-10, III for 11-15 points."""
    check_range("AARC points", points, 5, 15)
    return "I" if points <= 7 else "II" if points <= 10 else "III"


def _cells(name: str, value: float) -> float:
    return check_range(name, value, 0.05, 500, "10^9/L")


def _organ_failure(v: Mapping[str, Any]) -> tuple[int, str]:
    replaced = v.get("renal_replacement", v.get("dialysis", False)) or v.get("dialysis", False)
    ratios = v.get("pao2_fio2"), v.get("spo2_fio2")
    pressure, supported = v.get("mean_arterial_pressure"), v.get("vasopressors", False)
    bilirubin, creatinine = bilirubin_creatinine_mg(v)
    points = clif_c_of(
        bilirubin, creatinine, v["encephalopathy"], v["inr"], pressure, supported, *ratios, renal_replacement=replaced
    )
    taken = [
        text
        for text, keys in (
            ("renal replacement", ("renal_replacement", "dialysis")),
            ("vasopressors", ("vasopressors",)),
        )
        if not any(key in v for key in keys)
    ]
    notes = [f"{' and '.join(taken)} not given, taken as no"] if taken else []
    notes += ["lungs by SpO2/FiO2"] if ratios[0] is None else []
    return points, "; ".join(notes)


def _clif_c_of(v: Mapping[str, Any]) -> tuple[int, str]:
    points, note = _organ_failure(v)
    return points, "; ".join(part for part in (_FOR_ACLF, note) if part)


def _clif_c_aclf(v: Mapping[str, Any]) -> tuple[float, str]:
    points, note = _organ_failure(v)
    score = clif_c_aclf(points, v["age"], v["wbc"])
    return score, "; ".join(part for part in (f"CLIF-C OF {points}", _FOR_ACLF, note) if part)


def _cossh_aclf_ii(v: Mapping[str, Any]) -> tuple[float, str]:
    score = cossh_aclf_ii(v["inr"], v["encephalopathy"], v["neutrophils"], v["bilirubin"], v["urea"], v["age"])
    return score, f"{cossh_aclf_ii_class(score)}; {UNCONFIRMED}: grades of encephalopathy, units; {_FOR_ACLF} by HBV"


def _aarc(v: Mapping[str, Any]) -> tuple[int, str]:
    bilirubin, creatinine = bilirubin_creatinine_mg(v)
    points = aarc(bilirubin, v["encephalopathy"], v["inr"], v["lactate"], creatinine)
    return points, f"grade {aarc_grade(points)}; {_FOR_ACLF}"


_OF_KEYS = ("bilirubin", "creatinine", "encephalopathy", "inr")
_OF_OPTIONAL = ("renal_replacement", "dialysis")
_OF_ONE_OF = (("mean_arterial_pressure", "vasopressors"), ("pao2_fio2", "spo2_fio2"))

ACLF_SCORES: tuple[Score, ...] = (
    Score(
        "clif_c_of",
        "CLIF-C OF",
        _OF_KEYS,
        _clif_c_of,
        "Jalan et al., J Hepatol 2014;61:1038",
        _OF_OPTIONAL,
        one_of=_OF_ONE_OF,
    ),
    Score(
        "clif_c_aclf",
        "CLIF-C ACLF",
        ("age", "wbc", *_OF_KEYS),
        _clif_c_aclf,
        "Jalan et al., J Hepatol 2014;61:1038",
        _OF_OPTIONAL,
        one_of=_OF_ONE_OF,
    ),
    Score(
        "cossh_aclf_ii",
        "COSSH-ACLF II",
        ("age", "inr", "encephalopathy", "neutrophils", "bilirubin", "urea"),
        _cossh_aclf_ii,
        "Li et al., J Hepatol 2021;75:1104; low under 7.4, high from 8.4 on",
        unit="",
    ),
    Score(
        "aarc",
        "AARC",
        ("bilirubin", "encephalopathy", "inr", "lactate", "creatinine"),
        _aarc,
        "APASL ACLF Research Consortium, Choudhury et al., Hepatol Int 2017;11:461",
    ),
)
