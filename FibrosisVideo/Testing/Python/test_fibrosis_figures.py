"""Figures of the networks and the clinical tests against a direct computation; a user's own cohort."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from fibrosis_cases import film

from FibrosisVideoLib.labels import MODELS, PRODUCT
from FibrosisVideoLib.learning import own_cohort, validation
from FibrosisVideoLib.learning.validation import CLINICAL_CUTS, clinical_scores, decision_point, figures
from PrognosisLib.cohort import CohortCase, write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.framewise.lattice import SHAPE
from PrognosisLib.images.cine.writing import write_dicom

# --- figures ----------------------------------------------------------------------------------------------------------


def cohort(n: int = 60, seed: int = 1) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    stages = rng.integers(0, 5, n)
    logit = stages - 2.0
    chances = {
        model: 1 / (1 + np.exp(-(logit + rng.normal(0, noise, n))))
        for model, noise in zip(MODELS, (0.8, 1.5, 2.5), strict=True)
    }
    return chances, stages


def plain_auc(y: np.ndarray, score: np.ndarray) -> float:
    yes, no = score[y], score[~y]
    return float(np.mean((yes[:, None] > no[None]) + 0.5 * (yes[:, None] == no[None])))


def test_figures_are_those_of_a_direct_computation():
    chances, stages = cohort()
    y = stages >= 2
    oracle = np.clip(0.5 + (stages - 1.5) / 5 + np.random.default_rng(0).normal(0, 0.1, 60), 0, 1)
    points = dict(zip(MODELS, (0.5, 0.4, 0.6), strict=True))
    found = figures(chances, stages, points, oracle)
    assert list(found) == list(MODELS)
    for model in MODELS:
        one, called = found[model], chances[model] >= points[model]
        assert (one["n"], one["positive"], one["point"]) == (60, int(y.sum()), points[model])
        assert one["auc"]["value"] == pytest.approx(plain_auc(y, chances[model]), abs=1e-4)
        assert one["auc"]["lower"] < one["auc"]["value"] < one["auc"]["upper"]
        assert one["sensitivity"]["value"] == pytest.approx(called[y].mean(), abs=1e-4)
        assert one["specificity"]["value"] == pytest.approx((~called)[~y].mean(), abs=1e-4)
        assert one["accuracy"]["value"] == pytest.approx((called == y).mean(), abs=1e-4)
        precisions, recalls = (y[called].mean(), (~y)[~called].mean()), (called[y].mean(), (~called)[~y].mean())
        assert one["precision_macro"]["value"] == pytest.approx(np.mean(precisions), abs=1e-4)
        assert one["recall_macro"]["value"] == pytest.approx(np.mean(recalls), abs=1e-4)
        f1 = [2 * p * r / (p + r) for p, r in zip(precisions, recalls, strict=True)]
        assert one["f1_macro"]["value"] == pytest.approx(np.mean(f1), abs=1e-4)
        best = plain_auc(y, oracle)
        assert one["auc_oracle"] == pytest.approx(best, abs=1e-4)
        assert one["share_of_oracle"] == pytest.approx((one["auc"]["value"] - 0.5) / (best - 0.5), abs=2e-3)
    assert "product_ahead" not in found[PRODUCT]
    for rival in ("lstm", "2d"):
        ahead = found[rival]["product_ahead"]
        assert ahead["value"] == pytest.approx(found[PRODUCT]["auc"]["value"] - found[rival]["auc"]["value"], abs=2e-4)
        assert ahead["lower"] < ahead["value"] < ahead["upper"]
        assert 0 <= ahead["p"] <= 1
        assert ahead["n"] == 60


def test_patients_without_a_value_are_left_out_of_their_row_only():
    chances, stages = cohort()
    chances["2d"][:7] = np.nan
    clinical = [{"age": 50, "ast": 40 + 10 * int(stage), "alt": 40, "platelets": 200} for stage in stages]
    clinical[3] = {}
    found = figures(chances, stages, dict.fromkeys(MODELS, 0.5), None, clinical)
    assert found["3d"]["n"] == 60
    assert found["2d"]["n"] == 53
    assert found["2d"]["product_ahead"]["n"] == 53
    assert found["FIB-4"]["n"] == 59
    assert found["FIB-4"]["point"] == CLINICAL_CUTS["FIB-4"]
    assert found["FIB-4"]["auc"]["value"] == 1.0
    assert "SWE" not in found, "nobody has it"
    assert "auc_oracle" not in found["3d"]


def test_too_few_patients_give_no_figures():
    chances, stages = cohort(19)
    assert figures(chances, stages, dict.fromkeys(MODELS, 0.5)) == {}
    chances, _ = cohort(40)
    assert figures(chances, np.zeros(40, int), dict.fromkeys(MODELS, 0.5)) == {}


def test_clinical_scores_are_computed_or_missing():
    found = clinical_scores({"age": 60, "ast": 80, "alt": 64, "platelets": 150, "swe_kpa": 9.5})
    assert found["FIB-4"] == pytest.approx(60 * 80 / (150 * math.sqrt(64)))
    assert found["APRI"] == pytest.approx(80 / 40 / 150 * 100)
    assert found["SWE"] == 9.5
    assert clinical_scores({"ast": "80", "platelets": "150", "ast_upper_limit": "50"})["APRI"] == pytest.approx(
        80 / 50 / 150 * 100
    )
    for values in ({}, {"age": "", "ast": None, "alt": "x", "platelets": -5, "swe_kpa": "?"}):
        assert all(math.isnan(value) for value in clinical_scores(values).values())


def test_the_decision_point_is_the_best_one_of_those_that_were_read():
    chances, stages = cohort(200)
    chances[PRODUCT][:5] = np.nan
    found = decision_point(chances, stages)
    have = np.isfinite(chances[PRODUCT])
    y, p = stages[have] >= 2, chances[PRODUCT][have]

    def youden(point: float) -> float:
        return (p[y] >= point).mean() + (p[~y] < point).mean() - 1

    assert youden(found) == pytest.approx(max(youden(point) for point in p), abs=0.01)
    assert validation.SIGNIFICANT == 2


# --- a user's own cohort ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "stage"), [("0", 0), ("F0", 0), ("f3", 3), (" F4 ", 4), ("2", 2), (1, 1)])
def test_stages_are_read(text, stage):
    assert own_cohort.stage_of(CohortCase("a", "a", {}, {"stage": text})) == stage


@pytest.mark.parametrize("text", ["", "F5", "5", "-1", "2.5", "II", "F", "F 2", "NA", None])
def test_other_stages_are_refused(text):
    values = {} if text is None else {"stage": text}
    with pytest.raises(InputError, match=r"Case 'a7': stage is '.*'; give 0 to 4 or F0 to F4\.$"):
        own_cohort.stage_of(CohortCase("a7", "a", {}, values))


def patients(stages: list[int], each: int = 1) -> list[CohortCase]:
    return [
        CohortCase(f"{n}-{k}", f"p{n}", {}, {"stage": str(stage)})
        for n, stage in enumerate(stages)
        for k in range(each)
    ]


def test_enough_patients_are_accepted():
    own_cohort.check_counts(patients([0] * 30 + [3] * 10))
    own_cohort.check_counts(patients([0] * 10 + [2] * 30))


@pytest.mark.parametrize("stages", [[0] * 29 + [3] * 10, [0] * 31 + [3] * 9, [3] * 31 + [1] * 9, [2] * 60])
def test_too_few_patients_are_refused(stages):
    """Many cines of one patient do not help."""
    with pytest.raises(InputError, match=r"at least 40 and 10 of either kind are needed: add cases\.$"):
        own_cohort.check_counts(patients(stages, 3))


class EverywhereLiver(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.full_like(image, 4.0)


def test_own_cines_are_read_and_split_by_patient(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(own_cohort, "FEWEST_PATIENTS", 3)
    monkeypatch.setattr(own_cohort, "FEWEST_EACH", 1)
    for n in range(4):
        write_dicom(film(40 + n), tmp_path / f"film{n}.dcm", "Film")
    (tmp_path / "values.json").write_text(json.dumps({"age": 61}))
    rows = [
        {"case": f"c{n}", "patient": f"p{n // 2}", "cine": f"film{n // 2}.dcm", "stage": f"F{n // 2}", "ast": 40,
         "clinical": "values.json" if n == 6 else ""}
        for n in (0, 1, 2, 4, 6, 7)
    ]  # fmt: skip
    path = write_rows(tmp_path / "cohort.csv", rows)
    taught, kept, clinical = own_cohort.own_cines(own_cohort.own_cases(path, "p3"), EverywhereLiver())
    assert [one.patient for one in taught] == ["p0", "p0", "p1", "p2"]
    assert [one.stage for one in taught] == [0, 0, 1, 2]
    assert [one.patient for one in kept] == ["p3", "p3"]
    assert clinical[0] == {"age": 61}
    assert clinical[1]["ast"] == "40"
    one = taught[0]
    assert one.gray.shape == one.liver.shape == (16, *SHAPE), "at the classifiers' rate"
    assert one.gray.dtype == one.liver.dtype == np.uint8
    assert one.usable.all()
    assert np.isnan(one.signs).all()
    assert [each.reached.tolist() for each in taught[1:]] == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]]
    assert one.liver.min() > 240


@pytest.mark.parametrize("wrong", ["c0", "c3"])
def test_an_unfit_cohort_is_refused_before_any_cine_is_read(tmp_path: Path, monkeypatch, wrong):
    monkeypatch.setattr(own_cohort, "FEWEST_PATIENTS", 3)
    monkeypatch.setattr(own_cohort, "FEWEST_EACH", 1)
    for n in range(4):
        (tmp_path / f"film{n}.dcm").write_bytes(bytes([n]) * 100)
    rows = [{"case": f"c{n}", "patient": f"p{n}", "cine": f"film{n}.dcm", "stage": n} for n in range(4)]
    path = write_rows(tmp_path / "cohort.csv", rows)
    assert [len(part) for part in own_cohort.own_cases(path, "p3")] == [3, 1]
    told = [{**row, "stage": "?" if row["case"] == wrong else row["stage"]} for row in rows]
    with pytest.raises(InputError, match=f"Case '{wrong}'"):
        own_cohort.own_cases(write_rows(path, told), "p3")
    shared = [{**row, "cine": "film1.dcm" if row["case"] == wrong else row["cine"]} for row in rows]
    with pytest.raises(InputError, match="have the same image under the patients"):
        own_cohort.own_cases(write_rows(path, shared), "p3")
