"""Clinical scores of hepatocellular carcinoma before transarterial chemoembolization (TACE)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Score, check_positive, check_range


def hap(tumor_size_cm: float, afp_ng_per_ml: float, albumin_g_per_l: float, bilirubin_umol_per_l: float) -> int:
    """Hepatoma arterial-embolization prognostic score, 0 to 4 (Kadalayil et al., Ann Oncol 2013;24:2565).

    One point each: size over 7 cm, AFP over 400 ng/mL, albumin under 36 g/L, bilirubin over 17 umol/L.
    """
    return (
        int(check_positive("tumor size", tumor_size_cm, 30, "cm") > 7)
        + int(check_range("AFP", afp_ng_per_ml, 0, 1e7, "ng/mL") > 400)
        + int(check_range("albumin", albumin_g_per_l, 10, 70, "g/L") < 36)
        + int(check_range("bilirubin", bilirubin_umol_per_l, 1, 1000, "umol/L") > 17)
    )


def mhap_ii(
    tumor_size_cm: float,
    tumor_number: int,
    afp_ng_per_ml: float,
    albumin_g_per_l: float,
    bilirubin_umol_per_l: float,
) -> int:
    """Modified HAP-II, 0 to 5: HAP and one point for two or more tumors (Park et al., Liver Int 2016;36:100)."""
    several = check_range("number of tumors", tumor_number, 1, 200) >= 2
    return hap(tumor_size_cm, afp_ng_per_ml, albumin_g_per_l, bilirubin_umol_per_l) + int(several)


def hap_class(points: int) -> str:
    """A for 0, B for 1, C for 2, D for 3 and more points, of HAP and mHAP-II alike."""
    return "ABCD"[min(int(check_range("HAP points", points, 0, 5)), 3)]


def six_and_twelve(tumor_size_cm: float, tumor_number: int) -> float:
    """Largest diameter in cm plus number of tumors (Wang et al., J Hepatol 2019;70:893)."""
    return check_positive("tumor size", tumor_size_cm, 30, "cm") + check_range("number of tumors", tumor_number, 1, 200)


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
    before = check_range("AST before TACE", ast_before_u_per_l, 3, 20000, "U/L")
    rise = check_range("AST after TACE", ast_after_u_per_l, 3, 20000, "U/L") / before > 1.25
    worse = check_range("Child-Pugh", child_pugh_after, 5, 15) - check_range("Child-Pugh", child_pugh_before, 5, 15)
    return 4.0 * rise + (3.0 if worse >= 2 else 1.5 if worse >= 1 else 0.0) + (0.0 if radiological_response else 1.0)


def art_class(points: float) -> str:
    """Low risk for 0 to 1.5, high risk from 2.5 points."""
    return "low risk" if points <= 1.5 else "high risk"


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
