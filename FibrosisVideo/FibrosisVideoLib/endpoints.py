"""What FibrosisVideo is judged by: the liver's outline, significant fibrosis by three networks, the other stages."""

from __future__ import annotations

from collections.abc import Mapping

from PrognosisLib.scores.stiffness import SWE_F2_KPA, SWE_SOURCE
from PrognosisLib.validation import BINARY, CONTINUOUS, QUALITY, Endpoint, Published, Score, Study, Subgroup

from .labels import MODELS, PRODUCT, SIGNIFICANT
from .measuring.measurements import CHANCE, PUBLISHED_AUC, PUBLISHED_N

PAPER = "doi 10.12464/j.issn.0253-9802.2026-0255"
OUTCOME = "stage"  # 0 to 4
SUBGROUPS = (
    Subgroup("age", "Age", (50.0,), "years"),
    Subgroup("sex", "Sex"),
    Subgroup("bmi", "Body mass index", (30.0,), "kg/m²"),
    Subgroup("scanner", "Scanner"),
    Subgroup("site", "Site"),
)
# Published lower cut-offs, for significant fibrosis where there is one; see PrognosisLib/scores/fibrosis.py.
CLINICAL_CUTS = {"FIB-4": 1.45, "APRI": 0.5, "SWE": SWE_F2_KPA}
BESIDE = (
    Score("fib4", "FIB-4", "points", point=CLINICAL_CUTS["FIB-4"], source="lower limit of Hepatology 2006;43:1317"),
    Score("apri", "APRI", "points", point=CLINICAL_CUTS["APRI"], source="lower limit of Hepatology 2003;38:518"),
    Score("measured_swe", "SWE, measured", "kPa", point=CLINICAL_CUTS["SWE"], source=SWE_SOURCE),
)
# Columns that learning/evaluating.py makes of the stages' probabilities.
AT_LEAST_F3, EXPECTED_STAGE, TRUE_AT_LEAST_F3 = "at_least_f3", "expected_stage", "true_at_least_f3"


def column_of(model: str) -> str:
    """Where the results have a network's probability of F2 or higher, in percent; `model` is a key of MODELS."""
    return CHANCE if model == PRODUCT else f"{CHANCE}_{model}"


def study_of(points: Mapping[str, float] | None = None) -> Study:
    """The study with the probability (0 to 1) from which each network's answer is yes, as a bundle has it."""
    return Study("fibrosis", "FibrosisVideo", (_overlap(), _significant(points or {}), *_others(), _stage()))


def _overlap() -> Endpoint:
    return Endpoint("overlap", "Liver: Dice over all frames", QUALITY, (Score("liver_dice", "Liver"),), quantity="Dice")


def _significant(points: Mapping[str, float]) -> Endpoint:
    networks = tuple(
        Score(
            column_of(model),
            name,
            "%",
            chance=True,
            point=None if model not in points else 100 * points[model],
            source="" if model not in points else "of the bundle, on the patients its readout was fitted to",
        )
        for model, name in MODELS.items()
    )
    best = Score("true_significant", "Best possible", chance=True, best_possible=True)
    published = tuple(
        Published(f"AUC, {name}", f"{PUBLISHED_AUC[model]:.3f}", f"{PUBLISHED_N} (test)", PAPER)
        for model, name in MODELS.items()
    )
    return Endpoint(
        "significant",
        "Significant fibrosis (F2 or higher) by biopsy",
        BINARY,
        (*networks, *BESIDE, best),
        outcome=OUTCOME,
        at_least=SIGNIFICANT,
        subgroups=SUBGROUPS,
        published=published,
    )


def _others() -> list[Endpoint]:
    """The product at the other stages; a probability of stage F0 is that of no fibrosis."""
    columns = {
        1: ("stage_f0", "true_f0", True),
        3: (AT_LEAST_F3, TRUE_AT_LEAST_F3, False),
        4: ("stage_f4", "true_f4", False),
    }
    return [
        Endpoint(
            f"at_least_f{stage}",
            f"F{stage} or higher by biopsy" if stage < 4 else "Cirrhosis (F4) by biopsy",
            BINARY,
            (
                Score(column, MODELS[PRODUCT], "%", chance=True, falls=falls),
                Score(best, "Best possible", chance=True, falls=falls, best_possible=True),
            ),
            outcome=OUTCOME,
            at_least=stage,
        )
        for stage, (column, best, falls) in columns.items()
    ]


def _stage() -> Endpoint:
    """Agreement of the mean of the stages' distribution with the biopsy, as for a quantity from 0 to 4."""
    return Endpoint(
        "stage",
        "Expected stage (0 to 4) and the biopsy's",
        CONTINUOUS,
        (Score(EXPECTED_STAGE, MODELS[PRODUCT]),),
        outcome=OUTCOME,
        quantity="Stage",
        subgroups=SUBGROUPS,
    )


STUDY = study_of()
