"""What SpleenVolume is judged by: masks, volume, survival and decompensation after TACE."""

from __future__ import annotations

from PrognosisLib.validation import (
    BINARY,
    CONTINUOUS,
    QUALITY,
    SURVIVAL,
    Endpoint,
    Published,
    RiskModel,
    Score,
    Study,
    Subgroup,
)

from .outcomes import groups_of_rows, predictors_of_row

MUELLER = "Mueller et al., Eur Radiol 2022;32:6302-6313"
SUBGROUPS = (Subgroup("sex", "Sex"), Subgroup("age", "Age", (65.0,), "years"), Subgroup("site", "Site"))
# Scores beside the models, on the same patients.
BESIDE = (
    Score("spleen_volume", "Spleen volume", "mL", point=532.0, source="median of Cancers 2022;14:3574"),
    Score("albi", "ALBI"),
    Score("hap", "HAP", "points"),
    Score("mhap_ii", "mHAP-II", "points"),
    Score("six_and_twelve", "Six-and-twelve"),
    Score("axial_diameter", "Maximal axial diameter", "mm"),
    Score("craniocaudal_length", "Craniocaudal length", "mm"),
)

STUDY = Study(
    "spleen",
    "SpleenVolume",
    (
        Endpoint(
            "overlap",
            "Masks: Dice",
            QUALITY,
            (Score("spleen_dice", "Spleen"), Score("liver_dice", "Liver")),
            quantity="Dice",
            published=(
                Published("Dice of the spleen", "0.96", "100 (training and validation)", MUELLER),
                Published("Masks accepted on visual review", "98.2 % (223)", "227", MUELLER),
            ),
        ),
        Endpoint(
            "distance",
            "Masks: 95 % Hausdorff distance",
            QUALITY,
            (Score("spleen_hd95_mm", "Spleen"), Score("liver_hd95_mm", "Liver")),
            quantity="95 % Hausdorff distance",
            unit="mm",
            lowest_is_worst=False,
        ),
        Endpoint(
            "volume",
            "Spleen volume",
            CONTINUOUS,
            (
                Score("spleen_volume", "Network"),
                Score("prassopoulos_volume", "From diameters (Prassopoulos)"),
            ),
            outcome="spleen_true_mL",
            quantity="Volume",
            unit="mL",
            subgroups=SUBGROUPS,
            published=(Published("Mean volume", "551 mL", "327", MUELLER),),
        ),
        Endpoint(
            "survival",
            "Survival after TACE",
            SURVIVAL,
            (
                Score("survival_12_months", "Cox model, 12 months", "%", chance=True, falls=True, until=12.0),
                Score("survival_24_months", "Cox model, 24 months", "%", chance=True, falls=True, until=24.0),
                *BESIDE,
            ),
            outcome="died",
            time="survival_months",
            groups=("survival_12_months", "spleen_volume"),
            subgroups=SUBGROUPS,
            published=(
                Published("Median survival, high spleen volume", "10.9 months", "part of 327", MUELLER),
                Published("Median survival, low spleen volume", "22.0 months (p = 0.001)", "part of 327", MUELLER),
            ),
        ),
        Endpoint(
            "decompensation",
            "Hepatic decompensation within 3 months of TACE",
            BINARY,
            (Score("decompensation_risk", "Logistic model", "%", chance=True), *BESIDE),
            outcome="decompensated",
            subgroups=SUBGROUPS,
            published=(Published("Spleen volume higher with decompensation", "p < 0.001", "327", MUELLER),),
        ),
    ),
    models=(
        RiskModel("survival", "survival", predictors_of_row),
        RiskModel("decompensation", "decompensation", predictors_of_row),
    ),
    more_files=groups_of_rows,
)
