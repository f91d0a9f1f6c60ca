"""What ICHExpansion is judged by: masks, volumes, detection, and expansion of the hematoma by three models."""

from __future__ import annotations

from PrognosisLib.validation import BINARY, CONTINUOUS, QUALITY, Endpoint, Published, RiskModel, Score, Study, Subgroup

from .outcomes import NAMES, cohort_of_rows, predictors_of_row

PAPER = "Neuroradiology 2024, doi 10.1007/s00234-024-03298-y"
ABOUT_107 = "about 107, of whom about 21 expanded (our inference from its percentages)"
MASKS = (("hematoma", "Hematoma"), ("ventricular", "Intraventricular"), ("edema", "Edema"))

STUDY = Study(
    "ich",
    "ICHExpansion",
    (
        Endpoint(
            "overlap",
            "Masks: Dice",
            QUALITY,
            tuple(Score(f"{key}_dice", label) for key, label in MASKS),
            quantity="Dice",
            published=(
                Published("Dice of the hematoma, INSTANCE 2022 winner", "0.69", "see source", "INSTANCE 2022"),
                Published("Median Dice of the hematoma, nnU-Net on TICH-2", "0.92", "see source", "TICH-2"),
            ),
        ),
        Endpoint(
            "distance",
            "Masks: 95 % Hausdorff distance",
            QUALITY,
            tuple(Score(f"{key}_hd95_mm", label) for key, label in MASKS),
            quantity="95 % Hausdorff distance",
            unit="mm",
            lowest_is_worst=False,
        ),
        Endpoint(
            "volume",
            "Hematoma volume",
            CONTINUOUS,
            (Score("hematoma_volume", "Network"), Score("abc2_volume", "ABC/2 of the network's mask")),
            outcome="hematoma_true_ml",
            quantity="Volume",
            unit="mL",
        ),
        Endpoint(
            "detection",
            "Detection of a hematoma",
            BINARY,
            (Score("detection", "Network, highest of all slices", chance=True),),
            outcome="has_hematoma",
            published=(Published("AUC of detection", "0.99", "see source", PAPER),),
        ),
        Endpoint(
            "expansion",
            "Expansion of the hematoma",
            BINARY,
            (
                Score("integrated_expansion", "Integrated-to-HE", "%", chance=True),
                Score("image_expansion", "Image-to-HE", "%", chance=True),
                Score("clinical_expansion", "Clinical-to-HE", "%", chance=True),
                Score("brain", "BRAIN score", "points"),
                Score("nag", "NAG scale", "points"),
                Score("hematoma_volume", "Hematoma volume", "mL"),
                Score("true_probability", "Best possible: all causes", chance=True, best_possible=True),
                Score("true_image_probability", "Best possible: image", chance=True, best_possible=True),
            ),
            outcome="expansion",
            subgroups=(
                Subgroup("sex", "Sex"),
                Subgroup("age", "Age", (75.0,), "years"),
                Subgroup("anticoagulant", "Anticoagulant"),
                Subgroup("site", "Site"),
            ),
            published=(
                Published("AUC, Integrated-to-HE", "0.83 (accuracy 81.3 %, 76.2 / 82.6 %)", ABOUT_107, PAPER),
                Published("AUC, Clinical-to-HE", "0.81 (accuracy 74.8 %, 81.0 / 73.3 %)", ABOUT_107, PAPER),
                Published("AUC, Image-to-HE", "0.76 (accuracy 67.3 %, 81.0 / 64.0 %)", ABOUT_107, PAPER),
            ),
        ),
    ),
    models=tuple(RiskModel(name, "expansion", predictors_of_row) for name in NAMES),
    more_files=cohort_of_rows,
    notes=("Percentages after an accuracy are sensitivity and specificity.",),
)
