"""Clinical scores of intracerebral hemorrhage: growth of the hematoma (NAG, BRAIN) and mortality (ICH score)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..findings import Measurement
from .base import Score, check_positive, check_range, check_truth, exact, score_rows

NAG_EXPANSION_PERCENT = (4, 25, 60, 100)  # by points; frequencies among 118 patients
ICH_MORTALITY_PERCENT = (0, 13, 26, 72, 97, 100)  # by points up to 5; frequencies; nobody had 6 points
PUBLISHED = "published, other data"
MOST_ML = 2000.0

_VOLUME, _INTRAVENTRICULAR, _ESTIMATED = "hematoma_volume", "intraventricular", "infratentorial_estimated"


def abc2_ml(a_cm: float, b_cm: float, c_cm: float) -> float:
    """Volume of an ellipsoid hematoma in mL: A x B x C / 2, the three diameters at right angles in cm.

    How slices are weighted in C is the caller's matter.
    """
    return math.prod(check_positive(name, cm, 30, "cm") for name, cm in (("A", a_cm), ("B", b_cm), ("C", c_cm))) / 2


def nag(nihss: int, anticoagulated: bool, glucose_mg_per_dl: float) -> int:
    """NAG scale, 0 to 3 (Sakuta et al., J Stroke Cerebrovasc Dis 2018;27:2606).

    One point each: NIHSS of 10 and more, any anticoagulant, glucose of 133 mg/dL and more.
    """
    severe = _whole("NIHSS", nihss, 0, 42) >= 10
    sweet = exact(check_range("glucose", glucose_mg_per_dl, 10, 1500, "mg/dL")) >= 133
    return int(severe) + int(check_truth("anticoagulated", anticoagulated)) + int(sweet)


def brain(volume_ml: float, recurrent: bool, warfarin: bool, intraventricular: bool, onset_to_ct_h: float) -> int:
    """BRAIN score, 0 to 24 (Wang et al., Stroke 2015;46:376).

    Baseline volume up to 10 mL 0, up to 20 mL 5, above 7; Recurrent hemorrhage 4; Anticoagulation with warfarin 6;
    Intraventricular extension 2; Number of hours from onset to CT up to 1, 2, 3, 4, 5: 5, 4, 3, 2, 1, later 0.
    """
    volume = exact(check_positive("hematoma volume", volume_ml, MOST_ML, "mL"))
    hours = exact(check_range("onset to CT", onset_to_ct_h, 0, 720, "h"))
    return (
        (0 if volume <= 10 else 5 if volume <= 20 else 7)
        + 4 * check_truth("recurrent", recurrent)
        + 6 * check_truth("warfarin", warfarin)
        + 2 * check_truth("intraventricular", intraventricular)
        + max(0, 6 - max(1, math.ceil(hours)))
    )


def brain_probability(points: int) -> float:
    """Probability, 0 to 1, of hematoma growth by BRAIN points: 1 / (1 + exp(3.34 - 0.214 points)) (Wang 2015)."""
    return 1 / (1 + math.exp(3.34 - 0.214 * _whole("BRAIN points", points, 0, 24)))


def ich_score(gcs: int, volume_ml: float, intraventricular: bool, infratentorial: bool, age_years: float) -> int:
    """ICH score, 0 to 6 (Hemphill et al., Stroke 2001;32:891).

    GCS 3 to 4 two points, 5 to 12 one; one each: volume of 30 mL and more, intraventricular blood, infratentorial
    origin, age of 80 years and more.
    """
    coma = _whole("GCS", gcs, 3, 15)
    volume = exact(check_positive("hematoma volume", volume_ml, MOST_ML, "mL"))
    return (
        (2 if coma <= 4 else 1 if coma <= 12 else 0)
        + int(volume >= 30)
        + check_truth("intraventricular", intraventricular)
        + check_truth("infratentorial", infratentorial)
        + int(check_range("age", age_years, 0, 120, "years") >= 80)
    )


def ich_mortality_percent(points: int) -> int | None:
    """Published 30-day mortality in % by points of the ICH score; None for 6 points, which no patient there had."""
    return (*ICH_MORTALITY_PERCENT, None)[_whole("ICH score", points, 0, 6)]


def hemorrhage_rows(
    clinical: Mapping[str, Any],
    volume_ml: float | None = None,
    intraventricular: bool | None = None,
    infratentorial: bool | None = None,
) -> list[Measurement]:
    """One row each for NAG, BRAIN and ICH score; one whose inputs are missing has value None and a note saying which.

    Args:
        clinical: checked clinical values (clinical.check_clinical).
        volume_ml: hematoma volume in mL; None where no hematoma was found.
        intraventricular: whether there is blood in the ventricles; None where it is not known.
        infratentorial: as estimated from the image; a clinical value of this name goes before it.
    """
    is_estimated = clinical.get("infratentorial") is None
    values = {
        **clinical,
        _VOLUME: volume_ml,
        _INTRAVENTRICULAR: intraventricular,
        "infratentorial": infratentorial if is_estimated else clinical["infratentorial"],
        _ESTIMATED: is_estimated,
    }
    return score_rows(values, HEMORRHAGE_SCORES)


def _whole(name: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or value not in range(low, high + 1):
        raise InputError(f"{name} must be a whole number from {low} to {high}, not {value}.")
    return int(value)


def _nag(v: Mapping[str, Any]) -> tuple[float, str]:
    points = nag(v["nihss"], v["anticoagulant"] != "none", v["glucose"])
    return points, f"hematoma expansion in {NAG_EXPANSION_PERCENT[points]} % ({PUBLISHED}, n = 118)"


def _brain(v: Mapping[str, Any]) -> tuple[float, str]:
    warfarin = v["anticoagulant"] == "warfarin"
    points = brain(v[_VOLUME], v["prior_ich"], warfarin, v[_INTRAVENTRICULAR], v["onset_to_ct"])
    note = f"probability of hematoma growth {100 * brain_probability(points):.1f} % ({PUBLISHED})"
    return points, note + ("; only warfarin counts" if v["anticoagulant"] == "other" else "")


def _ich(v: Mapping[str, Any]) -> tuple[float, str]:
    points = ich_score(v["gcs"], v[_VOLUME], v[_INTRAVENTRICULAR], v["infratentorial"], v["age"])
    percent = ich_mortality_percent(points)
    note = "no patient with 6 points in the published data" if percent is None else f"30-day mortality {percent} %"
    note += f" ({PUBLISHED})" if percent is not None else ""
    return points, note + ("; infratentorial origin estimated from the image" if v.get(_ESTIMATED) else "")


_MEASURED = {_VOLUME: "Hematoma volume", _INTRAVENTRICULAR: "Intraventricular blood"}

HEMORRHAGE_SCORES: tuple[Score, ...] = (
    Score(
        "nag",
        "NAG scale",
        ("nihss", "anticoagulant", "glucose"),
        _nag,
        "Sakuta et al., J Stroke Cerebrovasc Dis 2018;27:2606",
    ),
    Score(
        "brain",
        "BRAIN score",
        ("prior_ich", "anticoagulant", "onset_to_ct"),
        _brain,
        "Wang et al., Stroke 2015;46:376",
        measured=_MEASURED,
    ),
    Score(
        "ich_score",
        "ICH score",
        ("gcs", "age", "infratentorial"),
        _ich,
        "Hemphill et al., Stroke 2001;32:891",
        measured=_MEASURED,
    ),
)
