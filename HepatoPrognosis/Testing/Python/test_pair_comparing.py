"""Two images side by side: one image given twice, dates and patients, registration, the look of the liver."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hepato_images import TAKEN_T0, film, frame, sector
from hypothesis import example, given, settings
from hypothesis import strategies as st

from HepatoPrognosisLib.comparing.look import gain_between, looks_of, texture_of
from HepatoPrognosisLib.comparing.pair_checks import check_files
from HepatoPrognosisLib.comparing.registration import _onto, register
from HepatoPrognosisLib.comparing.same_image import SAME, likeness
from PrognosisLib.errors import InputError
from PrognosisLib.framewise.lattice import SHAPE, FrameLattice
from PrognosisLib.images.cine.screen import find_screen


def on_lattice(image: np.ndarray, pixel_mm: float | None = 0.8) -> np.ndarray:
    cine = film(image, pixel_mm=pixel_mm)
    screen = find_screen(cine)
    return FrameLattice.of(cine, screen)(screen.seen(image))


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    from scipy.ndimage import zoom

    return zoom(image, factor, order=1)


# --- one image twice --------------------------------------------------------------------------------------------------

BASE = frame()
SAME_IMAGES = {
    "itself": BASE,
    "brighter": np.clip(1.3 * BASE + 12.0 * (BASE > 0), 0, 255).astype(np.uint8),
    "another gray map": (255 * (BASE / 255.0) ** 0.6).astype(np.uint8),
    "cropped": BASE[4:200, 50:280],
    "lossy": (BASE // 6) * 6,
}


@pytest.mark.parametrize("how", SAME_IMAGES)
@pytest.mark.parametrize("known", [True, False])
def test_one_image_is_known_again(how, known):
    """On the lattice where the size of a pixel is known, else pixel by pixel."""
    if known:
        assert likeness(on_lattice(BASE), on_lattice(SAME_IMAGES[how])) > SAME + 0.1
    else:
        assert likeness(BASE.astype(np.float32), SAME_IMAGES[how].astype(np.float32)) > SAME + 0.1


def test_one_image_of_another_size_is_known_again():
    assert likeness(on_lattice(BASE), on_lattice(resized(BASE, 1.25), 0.64)) > SAME + 0.1


@pytest.mark.parametrize("gain", [0.0, 8.0])
def test_two_images_of_one_liver_are_not_the_same(gain):
    """The same shapes, and speckle of their own."""
    second = frame(seed=1, gain=gain)
    assert likeness(on_lattice(BASE), on_lattice(second)) < SAME - 0.3
    assert likeness(BASE.astype(np.float32), second.astype(np.float32)) < SAME - 0.3


def test_nothing_is_like_a_black_image():
    assert likeness(on_lattice(BASE), np.zeros(SHAPE, np.float32)) == 0.0


# --- dates and patients -----------------------------------------------------------------------------------------------


def dated(days: float | None, patient: str = "PatientID 12ab", name: str = "film"):
    taken = None if days is None else TAKEN_T0 + timedelta(days=days)
    return film(BASE, taken=taken, patient=patient, name=name)


def test_a_t1_that_is_older_is_refused():
    with pytest.raises(
        InputError, match=r"T1 .'late', 2026-01-02. was taken before T0 .'early', 2026-01-07.; exchange"
    ):
        check_files(dated(0, name="early"), dated(-5, name="late"))


@pytest.mark.parametrize(
    ("days", "said"),
    [(5, None), (3, None), (8, None), (0, "on the same day as T0"), (1, "1 day after T0"), (20, "20 days after T0")],
)
def test_other_intervals_are_flagged(days, said):
    found = check_files(dated(0), dated(days))
    assert [flag.key for flag in found] == ([] if said is None else ["interval"])
    assert said is None or said in found[0].message


@pytest.mark.parametrize(("first", "second"), [(None, -5), (0, None), (None, None)])
def test_without_a_date_nothing_is_said(first, second):
    assert check_files(dated(first), dated(second)) == []


def test_two_patients_are_refused():
    with pytest.raises(InputError, match="are of two patients"):
        check_files(dated(0), dated(5, "PatientID 77ff"))


@pytest.mark.parametrize("other", ["", "PatientName 77ff"])
def test_what_cannot_be_compared_is_no_reason(other):
    """One file has an ID, the other none, or only a name."""
    assert check_files(dated(0), dated(5, other)) == []


# --- registration -----------------------------------------------------------------------------------------------------


def lattice_pair() -> tuple[np.ndarray, np.ndarray]:
    """Gray values and liver on the lattice, with a few vessels in the liver."""
    gray = on_lattice(BASE).copy()
    from scipy.ndimage import gaussian_filter

    liver = gaussian_filter(gray, 2.0) > 85
    j, i = np.indices(SHAPE)
    for y, x, radius in ((60, 80, 5), (85, 110, 7), (95, 75, 4), (70, 120, 4)):
        gray[np.hypot(j - y, i - x) <= radius] = 20
    return gray, liver


GRAY, LIVER = lattice_pair()


@given(st.floats(-10, 10), st.floats(0.92, 1.08), st.floats(-14, 14), st.floats(-10, 10))
@example(7.0, 0.96875, 0.0, 1.875)
@example(5.0, 0.952333849827589, -1.435546875, 1.446397105048753)
@settings(max_examples=6, deadline=None)
def test_a_turn_a_scale_and_a_shift_are_found(degrees, scale, right, down):
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([95.0, 80.0])
    matrix = np.column_stack([turn, middle - turn @ middle + (right, down)])
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    found = register((GRAY, LIVER), (_onto(GRAY, back), _onto(LIVER, back) > 0.5))
    places = np.argwhere(LIVER)[::200, ::-1]
    places = np.column_stack([places, np.ones(len(places))])
    error = np.linalg.norm(places @ found.matrix.T - places @ matrix.T, axis=1)
    assert error.mean() < 1.5
    assert found.overlap > 0.97
    assert found.degrees == pytest.approx(degrees, abs=2.5)
    assert found.scale == pytest.approx(scale, abs=0.04)


def test_it_is_the_same_each_time():
    second = on_lattice(frame(seed=1, size=0.9, gain=6))
    results = [register((GRAY, LIVER), (second, LIVER)).matrix for _time in range(2)]
    assert np.array_equal(*results)


def test_images_that_share_nothing_keep_their_livers_on_each_other():
    noise = np.random.default_rng(0).uniform(1, 200, SHAPE)
    far = np.zeros(SHAPE, bool)
    far[120:150, 20:60] = True
    found = register((GRAY, LIVER), (noise, far))
    assert abs(found.degrees) <= 25
    assert 0.8 <= found.scale <= 1.25
    middle = np.argwhere(LIVER).mean(axis=0)[::-1]
    assert found.matrix @ (*middle, 1) == pytest.approx(np.argwhere(far).mean(axis=0)[::-1], abs=15)


# --- the look ---------------------------------------------------------------------------------------------------------


def looked(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.ndimage import gaussian_filter

    gray = on_lattice(image)
    return gray, gaussian_filter(gray, 2.0) > gaussian_filter(gray, 2.0)[gray > 0].mean() + 10


@pytest.mark.parametrize("gain", [-15.0, 20.0])
def test_gain_does_not_move_echogenicity_and_texture(gain):
    first, second = looked(BASE), looked(frame(seed=1, gain=gain))
    looks = looks_of(first, second)
    assert gain_between(first[0], second[0]) == pytest.approx(-gain, abs=4)
    assert looks[1].echogenicity == pytest.approx(looks[0].echogenicity, abs=4)
    assert looks[1].texture == pytest.approx(looks[0].texture, rel=0.15)


@pytest.mark.parametrize("brighter", [-18.0, 15.0])
def test_echogenicity_is_that_of_the_liver(brighter):
    looks = looks_of(looked(BASE), looked(frame(seed=1, gain=10, brighter=brighter)))
    assert looks[1].echogenicity - looks[0].echogenicity == pytest.approx(brighter, abs=4)


def test_only_depths_that_both_livers_have_count():
    """In both images gray values fall with the depth; the livers are at other depths."""
    depth = np.linspace(160, 60, SHAPE[0])[:, None] * np.ones(SHAPE)
    livers = [np.zeros(SHAPE, bool) for _side in range(2)]
    livers[0][30:90, 60:130], livers[1][60:120, 60:130] = True, True
    first, second = looks_of((depth, livers[0]), (depth, livers[1]))
    assert first.echogenicity == pytest.approx(second.echogenicity, abs=1e-6)
    alone, none = looks_of((depth, livers[0]), None)
    assert none is None
    assert alone.echogenicity > first.echogenicity


def test_coarse_tissue_has_more_texture():
    from scipy.ndimage import gaussian_filter

    inside = sector(SHAPE)[0] & (np.indices(SHAPE)[0] > 30)
    rng = np.random.default_rng(1)
    found = []
    for grain in (0.7, 4.0):
        noise = gaussian_filter(rng.standard_normal(SHAPE), grain)
        found.append(texture_of(100 + 12 * noise / noise.std(), inside))
    assert found[1] > 2 * found[0]
    assert texture_of(np.full(SHAPE, 90.0), np.zeros(SHAPE, bool)) == 0.0
