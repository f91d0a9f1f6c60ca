"""Survival and decompensation models of the simulated cohort: fit, oracle, groups, use."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from PrognosisLib.errors import BundleError, InputError
from PrognosisLib.evaluation.survival import kaplan_meier
from PrognosisLib.findings import SIMULATED
from PrognosisLib.risk import CoxModel, LogisticModel, parse_json, readable_json
from SpleenVolumeLib.outcomes import FOLLOW_UP_MONTHS, PREDICTORS, fit_outcomes, group_curves, predictor_values

CLINICAL = {
    "age": 67.0,
    "bilirubin": 20.0,
    "albumin": 36.0,
    "platelets": 140.0,
    "tumor_size": 5.0,
    "tumor_number": 3,
    "afp": 50.0,
}


@pytest.fixture(scope="module")
def models():
    return fit_outcomes(n=1500, seed=5, oracle_n=40_000)


def test_predictors_from_a_patient():
    values = predictor_values(532.0, CLINICAL)
    assert set(values) == {one.name for one in PREDICTORS}
    assert values["log_spleen_volume"] == pytest.approx(6.2766, abs=1e-4)
    assert values["albi"] == pytest.approx(0.66 * np.log10(20) - 0.085 * 36)
    assert set(predictor_values(532.0, {"albumin": 36.0, "afp": None})) == {"log_spleen_volume"}
    with pytest.raises(InputError, match="over 0 mL"):
        predictor_values(0.0, CLINICAL)


def test_the_same_call_gives_the_same_models(models):
    first, again = (json.dumps(fit_outcomes(n=300, seed=6, oracle_n=4000)) for _ in range(2))
    assert first == again
    assert json.loads(first)["survival"]["predictors"] != models["survival"]["predictors"]


def test_models_survive_the_way_through_a_file(models):
    for name, kind in (("survival", CoxModel), ("decompensation", LogisticModel)):
        text = readable_json(models[name])
        assert kind.from_json(text).to_dict() == models[name]
        assert models[name]["cohort"] == {
            "name": "simulated cohort of HCC patients before TACE, version 1",
            "simulated": True,
        }
        assert models[name]["provenance"]["seed"] == 5
    assert parse_json(readable_json(models["groups"])) == models["groups"]


def test_figures_lie_between_spleen_volume_alone_and_the_oracle(models):
    for name, figure in (("survival", "c_index"), ("decompensation", "auc")):
        found = models[name]["performance"]
        value = found[figure]["value"]
        assert found[figure]["lower"] < value < found[figure]["upper"]
        assert value > found[f"{figure}_spleen_volume_alone"]["value"]
        assert value > found[f"{figure}_oracle_features"]["value"] - 0.02
        assert value < found[f"{figure}_oracle_causes"]["value"]
        assert found["test_seed"] != models[name]["provenance"]["seed"]


def test_larger_spleens_fare_worse_and_everything_says_simulated(models):
    survival, decompensation = CoxModel.from_dict(models["survival"]), LogisticModel.from_dict(models["decompensation"])
    alone = [predictor_values(volume, {}) for volume in (200.0, 500.0, 1200.0)]
    year = [survival.predict_survival(values, [12.0])[0][0] for values in alone]
    risk = [decompensation.predict(values)[0] for values in alone]
    assert year[0] > year[1] > year[2]
    assert risk[0] < risk[1] < risk[2]
    for model in (survival, decompensation):
        assert model.note(alone[0]).startswith(SIMULATED)
        assert "Platelets" in model.note(alone[0])
        assert model.note(predictor_values(500.0, CLINICAL)) == SIMULATED
    full, part = predictor_values(500.0, CLINICAL), alone[1]
    width = [np.ptp(decompensation.predict(values)[1:]) for values in (full, part)]
    assert width[1] > 1.5 * width[0]


def test_group_curves_agree_with_lifelines(models):
    groups = models["groups"]
    volume, months, died = (np.array(groups[key]) for key in ("spleen_volume_ml", "survival_months", "died"))
    curves = group_curves(532.0, groups)
    for name, mask in (("high", volume > 532), ("low", volume <= 532)):
        reference, found = kaplan_meier(months[mask], died[mask]), curves[name]
        place = np.searchsorted(reference.times, found.months, side="right") - 1
        for ours, theirs in zip(found[1:4], reference[1:4], strict=True):
            assert ours == pytest.approx(theirs[place], abs=1e-6)
        assert found.median == reference.median
        assert found.n == mask.sum()
        assert found.months[-1] == FOLLOW_UP_MONTHS
    assert curves["high"].median < curves["low"].median


def test_a_cutoff_beyond_the_cohort_leaves_one_group(models):
    assert set(group_curves(5000.0, models["groups"])) == {"low"}


@pytest.mark.parametrize(
    "change",
    [
        lambda groups: groups.pop("died"),
        lambda groups: groups["died"].pop(),
        lambda groups: groups.update(format="other"),
        lambda groups: groups["cohort"].update(simulated="no"),
        lambda groups: groups["died"].__setitem__(0, 2),
        lambda groups: groups["survival_months"].__setitem__(0, float("nan")),
    ],
)
def test_damaged_groups_are_refused(models, change):
    groups = copy.deepcopy(models["groups"])
    change(groups)
    with pytest.raises(BundleError, match="damaged"):
        group_curves(532.0, groups)


def test_use_needs_numpy_only():
    root = Path(__file__).resolve().parents[3]
    heavy = {"pandas", "lifelines", "statsmodels", "scipy"}
    code = f"import SpleenVolumeLib.outcomes, sys; print(sorted({heavy} & set(sys.modules)))"
    path = f"{root / 'PrognosisCore'}:{root / 'SpleenVolume'}"
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
