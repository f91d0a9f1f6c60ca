"""The hematoma that an edema rim encloses, derived on drawn slices and on the real set; and colored masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ich_heads import dice
from scipy import ndimage

from ICHExpansionLib.labels import BACKGROUND, EDEMA, EXTRA_AXIAL, HEMATOMA, IGNORE, VENTRICULAR
from ICHExpansionLib.learning.derived_labels import (
    DOUBTFUL,
    NEAR_SLICES,
    bhsd_case,
    bhsd_labels,
    derive_hematoma,
    phe_case,
)
from PrognosisLib.errors import InputError

HEADS = Path(__file__).resolve().parents[4] / "shared" / "data" / "head-ct"
SHAPE = (12, 160, 160)
CLOT, AWAY = (80, 60), (90, 120)


def disk(center: tuple[int, int], radius: float) -> np.ndarray:
    j, i = np.ogrid[: SHAPE[1], : SHAPE[2]]
    return (j - center[0]) ** 2 + (i - center[1]) ** 2 <= radius**2


def head(away: bool = True, clot_hu: float = 64.0, noise: float = 2.0) -> np.ndarray:
    """A windowed head: skull, brain, a clot in slices 3 to 8 within edema, and more blood on the other side."""
    hu = np.zeros(SHAPE, np.float32)
    hu[:, disk((80, 80), 75)] = 80.0
    hu[:, disk((80, 80), 68)] = 32.0
    hu[3:9, disk(CLOT, 22)] = 20.0
    hu[3:9, disk(CLOT, 14)] = clot_hu
    if away:
        hu[5:8, disk(AWAY, 9)] = 62.0
    soft = (hu > 0) & (hu < 80)
    hu += noise * np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32) * soft
    return np.clip(hu, 0, 80)


def truth() -> np.ndarray:
    clot = np.zeros(SHAPE, bool)
    clot[3:9] = disk(CLOT, 14)
    return clot


def rim(slices: slice = slice(3, 9), half: bool = False) -> np.ndarray:
    """The edema as annotated: all around, or only about three quarters of it."""
    edema = np.zeros(SHAPE, bool)
    edema[slices] = disk(CLOT, 22) & ~disk(CLOT, 14.5)
    if half:
        edema[:, 70:90, 60:] = False
        edema[:, :66, :] = False
    return edema


@pytest.mark.parametrize("half", [False, True])
def test_the_clot_within_its_rim_is_derived(half):
    labels = derive_hematoma(head(), rim(half=half))
    assert labels.dtype == np.uint8
    assert dice(labels == HEMATOMA, truth()) > 0.9
    assert ((labels == EDEMA) == (rim(half=half) & (labels != HEMATOMA))).all()
    assert (labels[rim(half=half)] == EDEMA).mean() > 0.9


def test_blood_far_from_the_rim_is_ignored_and_the_brain_is_background():
    labels = derive_hematoma(head(), rim())
    away = np.zeros(SHAPE, bool)
    away[5:8] = disk(AWAY, 8)
    assert (labels[away] == IGNORE).all()
    assert not (labels == IGNORE)[:, disk((45, 90), 8)].any()
    assert (labels[:, disk((45, 90), 8)] == BACKGROUND).all()
    assert (labels[:, disk((80, 80), 75) & ~disk((80, 80), 70)] == BACKGROUND).all()
    bare = derive_hematoma(head(away=False), rim())
    assert (bare[away] == BACKGROUND).all()


def test_the_clot_is_followed_into_slices_that_have_no_rim():
    """But not farther than two; there it is not known whether edema was left out."""
    labels = derive_hematoma(head(), rim(slice(3, 7)))
    assert NEAR_SLICES == 2
    assert dice(labels == HEMATOMA, truth()) > 0.9
    around = ndimage.binary_dilation(disk(CLOT, 14), iterations=4) & ~disk(CLOT, 16)
    assert (labels[7:9, around] == IGNORE).all()
    fewer = derive_hematoma(head(), rim(slice(3, 5))) == HEMATOMA
    assert fewer[3:7].any(axis=(1, 2)).all()
    assert not fewer[7:].any()


def test_holes_in_the_clot_are_part_of_it():
    hu = head()
    hu[5:7, disk((80, 60), 4)] = 40.0
    labels = derive_hematoma(hu, rim())
    assert (labels[5:7, disk((80, 60), 4)] == HEMATOMA).all()


def test_slips_of_the_annotator_far_from_the_rim_are_dropped():
    edema = rim()
    edema[0, 20, 80:82] = True
    labels = derive_hematoma(head(), edema)
    assert labels[0, 20, 80] != EDEMA
    assert dice(labels == HEMATOMA, truth()) > 0.9


def test_what_gives_no_label_is_refused():
    with pytest.raises(InputError, match="no edema mask"):
        derive_hematoma(head(), np.zeros(SHAPE, bool))
    with pytest.raises(InputError, match="Nothing bright"):
        derive_hematoma(head(clot_hu=30.0), rim())
    speck = np.zeros(SHAPE, bool)
    speck[4, 80, 60:63] = True
    with pytest.raises(InputError, match="no edema mask"):
        derive_hematoma(head(), speck)


def test_colors_of_the_single_slices():
    colors = {
        (0, 0, 0): BACKGROUND,
        (0, 0, 255): HEMATOMA,
        (255, 255, 0): VENTRICULAR,
        (255, 0, 0): EXTRA_AXIAL,
        (0, 255, 255): EXTRA_AXIAL,
        (0, 255, 0): EXTRA_AXIAL,
        (255, 255, 255): IGNORE,
        (1, 0, 0): IGNORE,
        (0, 0, 254): IGNORE,
    }
    picture = np.array(list(colors), np.uint8).reshape(3, 3, 3)
    assert bhsd_labels(picture).ravel().tolist() == list(colors.values())
    assert bhsd_labels(picture).dtype == np.uint8


# --- the real sets ----------------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.skipif(not (HEADS / "phe-sich").is_dir(), reason="the real images in ../shared/data are absent")
def test_every_kept_real_case_has_a_clot_that_touches_its_rim():
    numbers = sorted(path.name.split("_")[1] for path in (HEADS / "phe-sich").glob("phe_*_ct8bit.nii.gz"))
    kept = [number for number in numbers if number not in DOUBTFUL]
    assert len(kept) == len(numbers) - len(DOUBTFUL) == 43
    for number in kept:
        image, labels = phe_case(HEADS / "phe-sich", number)
        assert image.grid.same_as(labels.grid)
        assert image.array.min() >= 0, number
        assert image.array.max() <= 80.01, number
        blood, edema = labels.array == HEMATOMA, labels.array == EDEMA
        assert blood.any(), number
        assert ndimage.binary_dilation(edema, iterations=3)[blood].any(), number
        assert np.median(image.array[blood]) > np.median(image.array[edema]) + 12, number
        assert set(np.unique(labels.array)) <= {BACKGROUND, HEMATOMA, EDEMA, IGNORE}, number


@pytest.mark.real
@pytest.mark.skipif(not (HEADS / "bhsd-slices").is_dir(), reason="the real images in ../shared/data are absent")
def test_every_real_slice_has_labels_on_bright_pixels():
    names = sorted(path.name for path in (HEADS / "bhsd-slices" / "images").glob("*.png"))
    assert len(names) == 36
    for name in names:
        image, labels = bhsd_case(HEADS / "bhsd-slices", name)
        assert image.array.shape == labels.array.shape
        assert image.array.shape[0] == 1
        blood = (labels.array == HEMATOMA) | (labels.array == VENTRICULAR) | (labels.array == EXTRA_AXIAL)
        assert blood.any(), name
        assert (labels.array == IGNORE).mean() < 0.1, name
        # The front is up and the patient's right is on the picture's left.
        assert image.ijk_to_ras[0, 0] < 0
        assert image.ijk_to_ras[1, 1] < 0
