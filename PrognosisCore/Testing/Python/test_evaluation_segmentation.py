"""Overlap, distance of surfaces, volumes and their agreement, against analytic and published cases."""

from __future__ import annotations

import numpy as np
import pytest

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.agreement import bland_altman, intraclass
from PrognosisLib.evaluation.segmentation import dice, hausdorff95, volume_error_percent


def ball(shape, center, radius, spacing):
    grids = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij")
    return sum((g - c) ** 2 for g, c in zip(grids, center, strict=True)) <= radius**2


def test_dice():
    a, b = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    assert dice(a, b) == 1
    a[:2], b[1:3] = True, True
    assert dice(a, b) == 0.5
    assert dice(a, a) == 1
    with pytest.raises(InputError, match="cannot be compared"):
        dice(a, b[1:])


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
        assert hausdorff95(a, np.roll(a, 2, axis), matrix((5.0, 0.8, 1.3))) == pytest.approx(2 * spacing)
    assert hausdorff95(a, a, np.eye(4)) == 0
    empty = np.zeros_like(a)
    assert hausdorff95(a, empty, np.eye(4)) == float("inf")
    assert hausdorff95(empty, empty, np.eye(4)) == 0


def test_hausdorff_of_concentric_balls_and_at_the_border():
    spacing = (2.0, 1.0, 1.0)
    small, large = (ball((40, 80, 80), (40, 40, 40), radius, spacing) for radius in (20, 26))
    ijk_to_ras = matrix(spacing)
    assert hausdorff95(small, large, ijk_to_ras) == pytest.approx(6, abs=0.8)
    assert hausdorff95(large, small, ijk_to_ras) == hausdorff95(small, large, ijk_to_ras)
    whole = np.ones((6, 6, 6), bool)
    assert hausdorff95(whole, whole, np.eye(4)) == 0


def test_hausdorff_knows_the_shear_of_a_tilted_gantry():
    one, other = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    one[2, 4, 4], other[6, 4, 4] = True, True
    assert hausdorff95(one, other, matrix((3.0, 1.0, 1.0), shear=4.0)) == pytest.approx(4 * 5.0)


def test_volume_error():
    assert volume_error_percent(95, 100) == -5
    with pytest.raises(InputError):
        volume_error_percent(5, 0)


# Shrout and Fleiss, Psychol Bull 1979;86:420, table 2: six targets, four judges.
RATINGS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)


def test_intraclass_correlation_of_shrout_and_fleiss():
    found = intraclass(*RATINGS.T)
    assert found.value == pytest.approx(0.2898, abs=5e-5)
    assert (found.lower, found.upper) == pytest.approx((0.0188, 0.7611), abs=2e-4)


def test_intraclass_correlation_is_of_agreement_not_of_rank():
    truth = np.array([100.0, 220, 310, 450, 560, 730])
    assert intraclass(truth, truth) == (1, 1, 1)
    assert intraclass(truth, truth + 200).value < 0.8 < np.corrcoef(truth, truth + 200)[0, 1]
    with pytest.raises(InputError, match="values that differ"):
        intraclass(np.ones(5), np.ones(5))
    with pytest.raises(InputError, match="at least three"):
        intraclass(np.ones(2), np.ones(2))


def test_limits_of_agreement():
    truth = np.array([100.0, 200, 300, 400])
    found = bland_altman(truth + np.array([2, 4, 6, 8]), truth)
    sd = np.std([2, 4, 6, 8], ddof=1)
    assert found.n == 4
    assert found.bias.value == 5
    assert found.upper_limit.value == pytest.approx(5 + 1.959964 * sd)
    assert found.lower_limit.value == pytest.approx(5 - 1.959964 * sd)
    assert found.bias.upper == pytest.approx(5 + 3.182446 * sd / 2)
    with pytest.raises(InputError, match="finite"):
        bland_altman([1, 2, np.nan], [1, 2, 3])


def test_intervals_of_the_limits_cover():
    rng = np.random.default_rng(4)
    held = np.zeros(2)
    for _ in range(400):
        found = bland_altman(rng.normal(3, 2, 25), np.zeros(25))
        held += [
            found.bias.lower <= 3 <= found.bias.upper,
            found.upper_limit.lower <= 3 + 1.96 * 2 <= found.upper_limit.upper,
        ]
    assert held / 400 == pytest.approx([0.95, 0.95], abs=0.035)
