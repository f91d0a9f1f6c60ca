"""What LiverStiffness is judged by: masks, volumes, the stiffness itself, and whether it reaches each threshold."""

from __future__ import annotations

from collections.abc import Mapping

from PrognosisLib.validation import BINARY, CONTINUOUS, QUALITY, Endpoint, Published, Score, Study, Subgroup

from .labels import THRESHOLDS_KPA
from .measuring.readout import threshold_key

PAPER = "Ali et al., Eur Radiol 2025, doi 10.1007/s00330-024-11312-3"
EXAMINATIONS = "4,695 examinations of 4,295 patients"
MAIN_KPA = 3.0
SUBGROUPS = (Subgroup("age", "Age", (18.0,), "years"), Subgroup("sex", "Sex"), Subgroup("site", "Site"))
BESIDE = (
    Score("expected_stiffness", "Expected stiffness", "kPa"),
    Score("fib4", "FIB-4", "points"),
    Score("apri", "APRI", "points"),
    Score("nafld_score", "NAFLD fibrosis score", "points"),
    Score("spleen_volume", "Spleen volume", "mL"),
)
MASKS = (("liver", "Liver"), ("spleen", "Spleen"), ("ascites", "Ascites"))


def study_of(points: Mapping[float, float] | None = None) -> Study:
    """The study with the probability (0 to 1) from which each threshold counts as reached, as a bundle has it."""
    return Study("stiffness", "LiverStiffness", (*_masks(), _stiffness(), *_thresholds(points or {})))


def _masks() -> tuple[Endpoint, ...]:
    scores = tuple(
        Score(f"{sequence.lower()}_{key}_dice", f"{label} on {sequence}")
        for sequence in ("T2", "T1")
        for key, label in MASKS
    )
    overlap = Endpoint("overlap", "Masks: Dice", QUALITY, scores, quantity="Dice")
    volumes = tuple(
        Endpoint(
            f"{key}_volume",
            f"{label} volume",
            CONTINUOUS,
            (Score(f"{key}_volume", "Network"),),
            outcome=f"{key}_true_ml",
            quantity="Volume",
            unit="mL",
        )
        for key, label in MASKS[:2]
    )
    return overlap, *volumes


def _stiffness() -> Endpoint:
    return Endpoint(
        "stiffness",
        "Expected stiffness",
        CONTINUOUS,
        (Score("expected_stiffness", "Network"),),
        outcome="mre_kpa",
        quantity="Stiffness",
        unit="kPa",
        subgroups=SUBGROUPS,
    )


def _thresholds(points: Mapping[float, float]) -> list[Endpoint]:
    """The main threshold first, with scores beside it and subgroups."""
    order = sorted(THRESHOLDS_KPA, key=lambda kpa: (kpa != MAIN_KPA, kpa))
    return [_threshold(kpa, points.get(kpa), kpa == MAIN_KPA) for kpa in order]


def _threshold(kpa: float, point: float | None, is_main: bool) -> Endpoint:
    chance = Score(
        threshold_key(kpa),
        "Network",
        "%",
        chance=True,
        point=None if point is None else 100 * point,
        source="" if point is None else "of the bundle, on the patients its reading was fitted to",
    )
    best = Score(f"true_at_least_{kpa:g}", "Best possible", chance=True, best_possible=True)
    published = tuple(
        Published(f"AUROC at 3.0 kPa, {how}", value, EXAMINATIONS, PAPER)
        for how, value in (
            ("10-fold cross-validation", "0.83 (0.82 to 0.84)"),
            ("temporal split", "0.82 (0.80 to 0.84)"),
            ("leave-one-site-out", "0.79 (0.75 to 0.81)"),
        )
    )
    return Endpoint(
        f"at_least_{kpa:g}".replace(".", "_"),
        f"Stiffness of {kpa:.1f} kPa or more by MR elastography",
        BINARY,
        (chance, *(BESIDE if is_main else ()), best),
        outcome="mre_kpa",
        at_least=kpa,
        subgroups=SUBGROUPS if is_main else (),
        published=published if is_main else (),
    )


STUDY = study_of()
