"""Evaluation figures against published check values and analytic cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest

from PrognosisLib.errors import InputError
from PrognosisLib.risk import evaluation as ev

ASAH = Path(__file__).resolve().parents[4] / "shared/data/cohorts/asah.csv"


def ball(shape, center, radius, spacing):
    grids = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij")
    return sum((g - c) ** 2 for g, c in zip(grids, center, strict=True)) <= radius**2


def test_dice():
    a, b = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    assert ev.dice(a, b) == 1
    a[:2], b[1:3] = True, True
    assert ev.dice(a, b) == 0.5
    assert ev.dice(a, a) == 1
    with pytest.raises(InputError, match="cannot be compared"):
        ev.dice(a, b[1:])


def matrix(spacing_kji, shear=0.0):
    """IJK-to-RAS with this (k, j, i) spacing, turned by 30 degrees about the body axis; `shear` tilts the gantry."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.5236), -np.sin(0.5236)], [np.sin(0.5236), np.cos(0.5236)]]
    scale = np.diag([*spacing_kji[::-1], 1.0])
    scale[1, 2] = shear
    return turn @ scale


def test_hausdorff_of_shifted_boxes_is_in_millimetres():
    a = np.zeros((20, 30, 30), bool)
    a[5:15, 5:15, 5:15] = True
    for axis, spacing in enumerate((5.0, 0.8, 1.3)):
        assert ev.hausdorff95(a, np.roll(a, 2, axis), matrix((5.0, 0.8, 1.3))) == pytest.approx(2 * spacing)
    assert ev.hausdorff95(a, a, np.eye(4)) == 0
    empty = np.zeros_like(a)
    assert ev.hausdorff95(a, empty, np.eye(4)) == float("inf")
    assert ev.hausdorff95(empty, empty, np.eye(4)) == 0


def test_hausdorff_of_concentric_balls_and_at_the_border():
    spacing = (2.0, 1.0, 1.0)
    small, large = (ball((40, 80, 80), (40, 40, 40), radius, spacing) for radius in (20, 26))
    ijk_to_ras = matrix(spacing)
    assert ev.hausdorff95(small, large, ijk_to_ras) == pytest.approx(6, abs=0.8)
    assert ev.hausdorff95(large, small, ijk_to_ras) == ev.hausdorff95(small, large, ijk_to_ras)
    whole = np.ones((6, 6, 6), bool)
    assert ev.hausdorff95(whole, whole, np.eye(4)) == 0


def test_hausdorff_knows_the_shear_of_a_tilted_gantry():
    one, other = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    one[2, 4, 4], other[6, 4, 4] = True, True
    assert ev.hausdorff95(one, other, matrix((3.0, 1.0, 1.0), shear=4.0)) == pytest.approx(4 * 5.0)


def test_volume_error():
    assert ev.volume_error_percent(95, 100) == -5
    with pytest.raises(InputError):
        ev.volume_error_percent(5, 0)


@pytest.fixture(scope="module")
def asah():
    if not ASAH.exists():
        pytest.skip("the aSAH cohort is not in ../shared/data")
    return pandas.read_csv(ASAH)


@pytest.mark.real
def test_delong_on_asah(asah):
    y = (asah.outcome == "Poor").to_numpy()
    areas, covariance = ev.delong(y, [asah.wfns, asah.ndka, asah.s100b])
    assert areas[:2] == pytest.approx([0.823678861788618, 0.611957994579946], abs=1e-12)
    assert np.diag(covariance) == pytest.approx([0.00146991471, 0.00319081055, 0.00266868246], abs=1e-10)
    assert ev.auc(y, asah.ndka) == pytest.approx((0.611957994579946, 0.501244999, 0.722670990), abs=1e-8)
    first, second = ev.compare_auc(y, asah.wfns, asah.s100b), ev.compare_auc(y, asah.wfns, asah.ndka)
    assert (first.z, first.p) == pytest.approx((2.20898359, 0.02717578), abs=1e-7)
    assert (second.z, second.p) == pytest.approx((2.79777592, 0.00514558), abs=1e-7)
    assert ev.compare_auc(y, asah.ndka, asah.s100b).z == pytest.approx(-1.39077003, abs=1e-7)


def test_auc_with_ties_and_agreement_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 300)
    score = np.round(rng.normal(size=300) + 0.8 * y, 1)
    assert ev.auc(y, score).value == pytest.approx(roc_auc_score(y, score))
    same = ev.compare_auc(y, score, 2 * score)
    assert (same.z, same.p) == (0, 1)
    assert ev.auc([0, 0, 1, 1], [1, 2, 3, 4]) == (1, 1, 1)
    with pytest.raises(InputError, match="0 or 1"):
        ev.auc([1, 1, 1], [1, 2, 3])
    with pytest.raises(InputError, match="at least two"):
        ev.auc([0, 0, 1], [1, 2, 3])
    with pytest.raises(InputError, match="finite"):
        ev.auc([0, 0, 1, 1], [1, 2, 3, np.nan])


def test_delong_interval_covers():
    rng = np.random.default_rng(5)
    truth = 0.7602499  # of two unit normals one apart: Phi(1 / sqrt 2)
    covered = 0
    for _ in range(300):
        y = np.repeat([0, 1], 40)
        found = ev.auc(y, rng.normal(size=80) + y)
        covered += found.lower <= truth <= found.upper
    assert covered / 300 == pytest.approx(0.95, abs=0.04)


def test_wilson():
    from statsmodels.stats.proportion import proportion_confint

    for k, n in ((0, 10), (3, 10), (223, 227), (10, 10)):
        assert ev.wilson(k, n) == pytest.approx((k / n, *proportion_confint(k, n, method="wilson")), abs=1e-9)
    with pytest.raises(InputError):
        ev.wilson(11, 10)


def test_c_index_of_rossi():
    from lifelines import CoxPHFitter
    from lifelines.datasets import load_rossi

    rossi = load_rossi()
    fitted = CoxPHFitter().fit(rossi, "week", "arrest")
    assert fitted.log_likelihood_ == pytest.approx(-658.74766, abs=1e-4)
    found = ev.c_index(rossi.week, rossi.arrest, fitted.predict_partial_hazard(rossi), repeats=60)
    assert found.value == pytest.approx(0.640329, abs=1e-6)
    assert 0.55 < found.lower < found.value < found.upper < 0.72
    with pytest.raises(InputError, match="no events"):
        ev.c_index([1, 2], [0, 0], [1, 2])


def test_the_bootstrap_draws_whole_patients():
    patients = np.repeat(np.arange(30), 20)
    values = np.repeat(np.random.default_rng(0).normal(size=30), 20)

    def mean(rows):
        assert (np.bincount(patients[rows], minlength=30) % 20 == 0).all()
        return values[rows].mean()

    lower, upper = ev.bootstrap(mean, patients, 300)
    expected = 2 * 1.96 * values[::20].std() / np.sqrt(30)
    assert upper - lower == pytest.approx(expected, rel=0.2)


def test_kaplan_meier_and_log_rank():
    from lifelines.datasets import load_lung, load_waltons

    lung, waltons = load_lung(), load_waltons()
    chi2, p = ev.log_rank(lung.time, lung.status, lung.sex)
    assert chi2 == pytest.approx(10.3267, abs=1e-4)
    assert p < 0.01
    medians = [ev.kaplan_meier(part.time, part.status).median for _, part in lung.groupby("sex")]
    assert medians == [270, 426]
    assert ev.log_rank(waltons["T"], waltons["E"], waltons["group"])[0] == pytest.approx(122.2491, abs=1e-4)
    curve = ev.kaplan_meier(lung.time, lung.status)
    assert curve.times[0] == 0
    assert curve.survival[0] == 1
    assert (np.diff(curve.survival) <= 0).all()
    assert ((curve.lower <= curve.survival) & (curve.survival <= curve.upper)).all()


def test_decision_curve_auc_and_brier_of_df_binary():
    dcurves = pytest.importorskip("dcurves", reason="dcurves, which carries df_binary, is not installed")
    data = pandas.read_csv(Path(dcurves.__file__).parent / "data" / "df_binary.csv")
    y, p = data.cancer.to_numpy(), data.cancerpredmarker.to_numpy()
    assert len(y) == 750
    curve = ev.net_benefit(y, p, [0.05, 0.10, 0.20])
    assert curve.model == pytest.approx([0.105544, 0.087407, 0.067333], abs=1e-6)
    assert curve.treat_all[1] == pytest.approx(0.0444444, abs=1e-7)
    assert ev.auc(y, p).value == pytest.approx(0.860628, abs=1e-6)
    assert ev.brier(y, p) == pytest.approx(0.084929, abs=1e-6)


def test_calibration_finds_what_was_done_to_the_probabilities():
    rng = np.random.default_rng(8)
    odds = rng.normal(-0.5, 1.2, 40_000)
    p = 1 / (1 + np.exp(-odds))
    y = (rng.random(len(p)) < p).astype(int)
    good = ev.calibration(y, p)
    assert good["slope"].lower < 1 < good["slope"].upper
    assert good["intercept"].lower < 0 < good["intercept"].upper
    steep = ev.calibration(y, 1 / (1 + np.exp(-2 * odds)))
    assert steep["slope"].value == pytest.approx(0.5, abs=0.03)
    shifted = ev.calibration(y, 1 / (1 + np.exp(-(odds + 0.7))))
    assert shifted["intercept"].value == pytest.approx(-0.7, abs=0.05)
    with pytest.raises(InputError, match="between 0 and 1"):
        ev.brier([0, 1], [0.2, 1.2])
    with pytest.raises(InputError, match="thresholds"):
        ev.net_benefit([0, 1], [0.2, 0.8], [1.0])
