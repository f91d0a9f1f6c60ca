"""The simulated cohort holds to its documented numbers, and its oracle bounds what can be known."""

from __future__ import annotations

import numpy as np
import pytest

from PrognosisLib.clinical import check_clinical
from PrognosisLib.clinical_fields import fields_of
from PrognosisLib.errors import InputError
from SpleenVolumeLib.simulation import CLINICAL, oracle, simulate_cohort, simulate_patient, simulate_row


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(20_000, seed=11)


def test_the_same_seed_gives_the_same_cohort():
    first, again, other = simulate_cohort(50, 4), simulate_cohort(50, 4), simulate_cohort(50, 5)
    assert first.equals(again)
    assert not first.equals(other)


def test_it_reproduces_the_published_figures_it_was_set_to(cohort):
    from lifelines import KaplanMeierFitter

    assert cohort.spleen_volume_ml.mean() == pytest.approx(551, abs=12)
    high = cohort.spleen_volume_ml > cohort.spleen_volume_ml.median()
    medians = [
        KaplanMeierFitter().fit(group.survival_months, group.died).median_survival_time_
        for group in (cohort[high], cohort[~high])
    ]
    assert medians == pytest.approx([10.9, 22.0], rel=0.07)
    assert cohort.decompensated.mean() == pytest.approx(0.17, abs=0.015)
    assert (cohort.ascites != "none").mean() == pytest.approx(0.16, abs=0.015)
    assert cohort.true_decompensation_risk.mean() == pytest.approx(cohort.decompensated.mean(), abs=0.01)


def test_causes_point_the_right_way(cohort):
    decompensated = cohort.decompensated == 1
    assert cohort.spleen_volume_ml[decompensated].median() > 1.3 * cohort.spleen_volume_ml[~decompensated].median()
    correlation = cohort[["spleen_volume_ml", "platelets", "albumin", "true_tumor_burden"]].corr(method="spearman")
    assert correlation.loc["spleen_volume_ml", "platelets"] < -0.5
    assert correlation.loc["spleen_volume_ml", "albumin"] < -0.2
    assert abs(correlation.loc["spleen_volume_ml", "true_tumor_burden"]) < 0.03


def test_every_row_passes_the_clinical_checks(cohort):
    fields = fields_of(CLINICAL)
    for row in cohort[list(CLINICAL)].head(500).to_dict("records"):
        assert set(check_clinical(row, fields)) == set(CLINICAL)


def test_oracle_is_calibrated_and_ordered(cohort):
    from lifelines.utils import concordance_index
    from sklearn.metrics import roc_auc_score

    bound = oracle(cohort, n=40_000)
    few = oracle(cohort, features=("age", "spleen_volume_ml"), n=40_000)
    aucs = [
        roc_auc_score(cohort.decompensated, risk)
        for risk in (few.known_decompensation, bound.known_decompensation, bound.causes_decompensation)
    ]
    assert aucs[0] + 0.01 < aucs[1] < aucs[2]
    head = slice(0, 6000)
    indexes = [
        concordance_index(cohort.survival_months[head], -risk[head], cohort.died[head])
        for risk in (few.known_log_hazard, bound.known_log_hazard, bound.causes_log_hazard)
    ]
    assert indexes[0] + 0.01 < indexes[1] < indexes[2]
    # the part that stays unknown is not related to what is known: the fit is a conditional mean
    residual = bound.causes_log_hazard - bound.known_log_hazard
    assert np.corrcoef(residual, bound.known_log_hazard)[0, 1] == pytest.approx(0, abs=0.03)
    high = bound.known_decompensation > bound.known_decompensation.quantile(0.8)
    assert bound.known_decompensation[high].mean() == pytest.approx(cohort.decompensated[high].mean(), abs=0.03)


def test_a_patient_fits_the_procedural_anatomy():
    for seed in range(8):
        parameters, clinical = simulate_patient(seed)
        row = simulate_row(seed)
        assert parameters.spleen_mL == row["spleen_volume_ml"]
        assert parameters.liver_mL == row["liver_volume_ml"]
        assert (parameters.ascites_mL > 0) == (clinical["ascites"] != "none")
        assert parameters.phase in ("arterial", "portal venous")
        assert clinical == {key: row[key] for key in CLINICAL}
        assert check_clinical(clinical, fields_of(CLINICAL)) == clinical
    assert simulate_patient(3) == simulate_patient(3)


def test_an_empty_cohort_is_refused():
    with pytest.raises(InputError, match="at least one patient"):
        simulate_cohort(0, 1)
