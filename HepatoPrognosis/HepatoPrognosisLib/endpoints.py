"""What HepatoPrognosis is judged by: masks of both images, survival, and death within 30 days, by three models."""

from __future__ import annotations

from PrognosisLib.validation import BINARY, QUALITY, SURVIVAL, Endpoint, Published, Score, Study, Subgroup

from .labels import HORIZON_DAYS, MODELS

HUANG = "Huang et al., Ann Med 2025;57:2551819"
VALIDATION_SET = "82 (validation set of 372)"
SUBGROUPS = (Subgroup("age", "Age", (50.0,), "years"), Subgroup("sex", "Sex"), Subgroup("site", "Site"))
BEST_FIRST = ("combined", "siamese", "clinical")
MORTALITY = tuple(f"{name}_mortality" for name in BEST_FIRST)
# The field's scores beside the models, on the same patients.
BESIDE = (
    Score("cossh_aclf_ii", "COSSH-ACLF II"),
    Score("clif_c_aclf", "CLIF-C ACLF", "points"),
    Score("aarc", "AARC", "points"),
    Score("meld_3", "MELD 3.0", "points"),
    Score("meld_na", "MELD-Na", "points"),
    Score("meld", "MELD", "points"),
    Score("child_pugh", "Child-Pugh", "points"),
    Score("albi", "ALBI"),
)


def _models(until: float | None) -> tuple[Score, ...]:
    return tuple(
        Score(column, MODELS[name], "%", chance=True, until=until)
        for name, column in zip(BEST_FIRST, MORTALITY, strict=True)
    )


def _best(until: float | None) -> tuple[Score, ...]:
    return tuple(
        Score(f"true_{name}", f"Best possible, {MODELS[name]}", chance=True, until=until, best_possible=True)
        for name in BEST_FIRST
    )


STUDY = Study(
    "hepato",
    "HepatoPrognosis",
    (
        Endpoint(
            "overlap",
            "Masks: Dice",
            QUALITY,
            (Score("t0_dice", "Liver at T0"), Score("t1_dice", "Liver at T1")),
            quantity="Dice",
            published=(
                Published("Dice at T0", "0.912", "see source", HUANG),
                Published("Dice at T1", "0.913", "see source", HUANG),
            ),
        ),
        Endpoint(
            "survival",
            "Survival after day 5",
            SURVIVAL,
            (*_models(HORIZON_DAYS), *BESIDE, *_best(HORIZON_DAYS)),
            outcome="died",
            time="days",
            time_unit="days",
            groups=MORTALITY,
            subgroups=SUBGROUPS,
            published=(
                Published("C-index, Siamese U-Net", "0.795", VALIDATION_SET, HUANG),
                Published("C-index, combined model", "0.834", VALIDATION_SET, HUANG),
            ),
        ),
        Endpoint(
            "mortality_30",
            "Death within 30 days",
            BINARY,
            (*_models(None), *BESIDE, *_best(None)),
            outcome="died_30",
            subgroups=SUBGROUPS,
            published=(
                Published("AUC, Siamese U-Net", "0.851", VALIDATION_SET, HUANG),
                Published("AUC, combined model", "0.892", VALIDATION_SET, HUANG),
                Published("Combined against clinical model", "p < 0.01", VALIDATION_SET, HUANG),
                Published("Combined model against Siamese U-Net", "p > 0.05", VALIDATION_SET, HUANG),
            ),
        ),
    ),
    notes=(
        "Death is the event. Transplantation counts as censoring in survival; patients who were transplanted or lost "
        "before day 30 are left out of death within 30 days.",
    ),
)
