"""Frames under another scanner: image and liver move alike, black stays black, and nothing changes where none may."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from PrognosisLib.framewise.lattice import FACE, GRAY_OFFSET, SHAPE, to_input
from PrognosisLib.learning.frame_variety import FOR_LIVER, FOR_SIGNS, THINNEST_WALL, Variety, vary

NONE = Variety(0.0, 0.0, 0.0, 0.0, 0.0)
BLACK = -GRAY_OFFSET


def frames(count: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """uint8 speckle in a sector, with a bright liver on one side of it, and that liver."""
    j, i = np.indices(SHAPE)
    down, across = j - FACE[0] + 50, i - FACE[1]
    sector = (np.abs(np.arctan2(across, down)) < 0.5) & (np.hypot(down, across) > 50) & (np.hypot(down, across) < 170)
    liver = sector & (np.hypot(j - 70, i - 70) < 22)
    rng = np.random.default_rng(0)
    gray = np.where(sector, rng.integers(20, 70, (count, *SHAPE)), 0)
    gray[:, liver] = 220
    return gray.astype(np.uint8), np.broadcast_to(liver, (count, *SHAPE)).copy()


def test_without_variety_a_frame_is_itself_or_its_mirror_image():
    gray, liver = frames()
    seen = set()
    for seed in range(8):
        image, share = (part.numpy() for part in vary(gray, liver, np.random.default_rng(seed), NONE))
        for name, turn in (("same", slice(None)), ("mirrored", slice(None, None, -1))):
            if np.abs(image - to_input(gray)[..., turn]).max() < 1e-3:
                np.testing.assert_allclose(share, liver[..., turn], atol=1e-4)
                seen.add(name)
                break
        else:
            pytest.fail("the frame was changed")
    assert seen == {"same", "mirrored"}


@pytest.mark.parametrize("seed", range(6))
def test_image_and_liver_move_alike(seed):
    gray, liver = frames()
    moving = Variety(scale=0.2, degrees=10.0, shift=9.0, gray=0.0, cropped=0.0)
    image, share = (part.numpy() for part in vary(gray, liver, np.random.default_rng(seed), moving))
    bright, inside = image[0] > to_input(np.array([150], np.uint8))[0], share[0] > 0.5
    overlap = 2 * (bright & inside).sum() / (bright.sum() + inside.sum())
    assert overlap > 0.97
    assert np.array_equal(share[0], share[1]), "all frames of a film move alike"


@pytest.mark.parametrize("seed", range(6))
def test_what_is_bent_keeps_its_sector_and_its_liver(seed):
    gray, liver = frames()
    bent = Variety(0.0, 0.0, 0.0, 0.0, 0.0, bent=5.0)
    image, share = (part.numpy() for part in vary(gray, liver, np.random.default_rng(seed), bent, mirrored=False))
    assert np.allclose(image[:, gray[0] == 0], BLACK, atol=1e-5), "nothing is drawn outside the sector"
    assert (image[0] > BLACK + 0.05).sum() > 0.85 * (gray[0] > 0).sum()
    bright, inside = image[0] > to_input(np.array([150], np.uint8))[0], share[0] > 0.5
    assert 2 * (bright & inside).sum() / (bright.sum() + inside.sum()) > 0.95
    assert (inside ^ liver[0]).sum() > 40, "the outline is another"


def test_a_raised_liver_lies_nearer_to_the_face_but_not_in_the_wall():
    gray, _ = frames()
    liver = np.zeros(gray.shape, bool)
    liver[:, 80:110, 80:110] = True
    tops = []
    for seed in range(12):
        raised = Variety(0.0, 0.0, 0.0, 0.0, 0.0, raised=1.0)
        share = vary(gray, liver, np.random.default_rng(seed), raised, mirrored=False)[1].numpy()
        tops.append(np.flatnonzero((share[0] > 0.5).any(axis=1))[0])
    assert FACE[0] + THINNEST_WALL - 1 <= min(tops) < 40
    assert 60 < max(tops) <= 80


def test_scale_and_turn_leave_the_face_where_it_is():
    gray = np.zeros((1, *SHAPE), np.uint8)
    row, column = round(FACE[0]), int(FACE[1])
    gray[0, row - 3 : row + 4, column - 3 : column + 5] = 200
    only = Variety(scale=0.2, degrees=10.0, shift=0.0, gray=0.0, cropped=0.0)
    for seed in range(6):
        image, _ = vary(gray, gray > 0, np.random.default_rng(seed), only)
        weight = image[0].numpy() - BLACK
        j, i = np.indices(SHAPE)
        found = np.array([(j * weight).sum(), (i * weight).sum()]) / weight.sum()
        np.testing.assert_allclose(found, FACE, atol=0.6)


@pytest.mark.parametrize("variety", [FOR_LIVER, FOR_SIGNS])
def test_black_around_the_sector_stays_black_and_values_stay_in_range(variety):
    gray, liver = frames()
    changed = 0
    for seed in range(12):
        image, share = (part.numpy() for part in vary(gray, liver, np.random.default_rng(seed), variety))
        assert image.dtype == np.float32
        assert image.shape == share.shape == gray.shape
        assert to_input(np.array(0)) - 1e-5 <= image.min() <= image.max() <= to_input(np.array(255)) + 1e-5
        assert 0 <= share.min() <= share.max() <= 1 + 1e-6
        dark = np.isclose(image, BLACK, atol=1e-5).mean()
        assert dark > 0.3, "the screen around the sector"
        changed += np.abs(image - to_input(gray)).mean() > 0.05
    assert changed >= 11


def test_equal_random_numbers_give_equal_frames():
    gray, liver = frames()
    first, again, other = (vary(gray, liver, np.random.default_rng(seed), FOR_LIVER)[0] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_cut_sector_takes_image_and_liver_away_alike():
    gray, liver = frames(1)
    cut = Variety(0.0, 0.0, 0.0, 0.0, cropped=1.0)
    lost = 0
    for seed in range(10):
        image, share = (part.numpy()[0] for part in vary(gray, liver, np.random.default_rng(seed), cut))
        plain, _ = (part.numpy()[0] for part in vary(gray, liver, np.random.default_rng(seed), NONE))
        gone = (image <= BLACK + 1e-5) & (plain > BLACK + 1e-3)
        assert np.all(share[gone] == 0)
        kept = image > BLACK + 1e-3
        np.testing.assert_allclose(image[kept], plain[kept], atol=1e-3)
        lost += gone.any()
    assert lost >= 8


def test_shares_of_liver_are_taken_as_they_are():
    gray, liver = frames(1)
    half = np.where(liver, 128, 0).astype(np.uint8)
    _, share = vary(gray, half, np.random.default_rng(0), NONE)
    assert share.max().item() == pytest.approx(128 / 255, abs=1e-3)


@pytest.mark.parametrize("mirrored", [True, False])
def test_frames_are_mirrored_where_that_is_asked_for(mirrored):
    gray, liver = frames(1)
    for seed in range(6):
        image, share = (part.numpy() for part in vary(gray, liver, np.random.default_rng(seed), NONE, mirrored))
        expected = liver[..., ::-1] if mirrored else liver
        assert ((share > 0.5) == expected).mean() > 0.99
        assert image.shape == gray.shape
