"""The sector, text and marks of an ultrasound screen, what a network sees of it, and which cines are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cine_cases import APEX, HALF_ANGLE, RADII, film, in_color, region, save, sector_mask, ultrasound

from PrognosisLib.errors import InputError
from PrognosisLib.images.cine.checks import check_cine
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, Region, to_gray
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.screen import find_screen
from PrognosisLib.images.cine.sector import find_sector

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
SHAPE = (288, 384)
TEXT = (slice(6, 27), slice(6, 120))


def large_film(kind: str = "convex", count: int = 8, text: bool = True) -> np.ndarray:
    frames = film(count, SHAPE, kind, text=False)
    if text:
        letters = (np.indices((21, 114)).sum(0) % 9) > 4
        frames[:, *TEXT] = letters * np.uint8(220)
    return frames


MOVING, LINEAR = large_film(), large_film("linear")


def cine_of(frames: np.ndarray, **more) -> Cine:
    return Cine(
        ArrayFrames(frames), np.arange(len(frames)) / 25, more.pop("pixel_mm", (0.3, 0.3)), name="liver", **more
    )


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def flags_of(frames: np.ndarray, min_frames: int = 2, **more) -> dict[str, str]:
    cine = cine_of(frames, **more)
    return {flag.key: flag.message for flag in check_cine(cine, find_screen(cine), min_frames)}


# --- sector -----------------------------------------------------------------------------------------------------------


def test_a_convex_sector_is_found_with_its_geometry():
    sector = find_sector(cine_of(MOVING))
    assert sector.kind == "convex"
    assert dice(sector.mask, sector_mask(SHAPE)) > 0.98
    assert sector.apex == pytest.approx([3 * part for part in APEX], abs=6)
    assert sector.radii == pytest.approx([3 * part for part in RADII], abs=6)
    assert sector.angles_deg == pytest.approx([-np.degrees(HALF_ANGLE), np.degrees(HALF_ANGLE)], abs=1)


def test_a_linear_image_is_found():
    sector = find_sector(cine_of(LINEAR))
    assert sector.kind == "linear"
    assert dice(sector.mask, sector_mask(SHAPE, "linear")) > 0.97


@pytest.mark.parametrize("frames", [MOVING[:1], MOVING.astype(np.uint16) * 250, in_color(MOVING)])
def test_single_images_deep_and_color_ones(frames):
    assert dice(find_sector(cine_of(frames)).mask, sector_mask(SHAPE)) > 0.97


def test_a_side_in_the_shadow_is_mirrored():
    frames = MOVING.copy()
    j, i = np.indices(SHAPE)
    frames[:, (i > 230) & (j > 100)] = 0
    sector = find_sector(cine_of(frames))
    assert sector.kind == "convex"
    assert dice(sector.mask, sector_mask(SHAPE)) > 0.95


def test_a_sector_cut_off_below_keeps_its_flat_end():
    frames = MOVING.copy()
    frames[:, 240:] = 0
    expected = sector_mask(SHAPE)
    expected[240:] = False
    assert dice(find_sector(cine_of(frames)).mask, expected) > 0.97


def test_an_image_that_fills_the_frame():
    frames = large_film(text=False)[:, 120:200, 150:240]
    sector = find_sector(cine_of(frames))
    assert sector.mask.mean() > 0.99


def test_a_bright_bar_of_the_screen_is_not_taken_for_the_image():
    frames = in_color(MOVING)
    frames[:, :30] = (70, 90, 160)
    assert dice(find_sector(cine_of(frames)).mask, sector_mask(SHAPE)) > 0.95


def test_the_calibrated_region_limits_the_search(tmp_path):
    frames = np.zeros((4, 288, 800), np.uint8)
    frames[:, :, :384] = large_film(count=4)
    frames[:, 20:280, 410:790] = large_film("linear", 4)[:, 20:280, :380]  # a second, larger picture
    dataset = ultrasound(frames, SequenceOfUltrasoundRegions=[region((0, 0, 390, 287))])
    sector = find_sector(read_cine(save(dataset, tmp_path / "cine.dcm")))
    assert dice(sector.mask[:, :384], sector_mask(SHAPE)) > 0.97
    assert not sector.mask[:, 391:].any()


def test_a_black_cine_or_a_page_of_text_is_no_ultrasound():
    page = np.zeros((3, *SHAPE), np.uint8)
    page[:, 10:280:12, 10:350:5] = 200
    for frames in (np.zeros((3, *SHAPE), np.uint8), page):
        with pytest.raises(InputError, match=r"no ultrasound image.*choose a B-mode cine\.$"):
            find_sector(cine_of(frames))


# --- what is seen and exported ----------------------------------------------------------------------------------------


def test_text_outside_the_sector_is_neither_seen_nor_exported():
    screen = find_screen(cine_of(MOVING))
    assert screen.has_text
    assert screen.may_name_patient
    for frame in (screen.blanked(MOVING[3]), screen.seen(MOVING[3])):
        assert not frame[TEXT].any()
        assert np.array_equal(frame[100:200, 150:230], MOVING[3, 100:200, 150:230])
        assert frame.dtype == np.uint8
    color = screen.blanked(in_color(MOVING)[3])
    assert color.shape == (*SHAPE, 3)
    assert not color[TEXT].any()


@pytest.mark.parametrize(
    ("text", "said", "may"),
    [(True, None, True), (True, False, False), (True, True, True), (False, None, False), (False, True, True)],
)
def test_when_frames_may_name_the_patient(text, said, may):
    assert find_screen(cine_of(large_film(text=text), burned_in=said)).may_name_patient is may


@pytest.mark.parametrize("color", [(255, 255, 255), (250, 220, 20)])
def test_calipers_in_the_sector_are_found_and_filled(color):
    frames = in_color(MOVING)
    cross = np.zeros(SHAPE, bool)
    cross[150, 180:201] = cross[140:161, 190] = cross[150:153, 180:201] = True
    frames[:, cross] = color
    screen = find_screen(cine_of(frames))
    assert screen.marks[cross].mean() > 0.95
    assert screen.marks.sum() < 4 * cross.sum()
    seen = screen.seen(frames[2])
    assert seen[cross].mean() < 90
    assert seen[cross].min() > 0
    far = sector_mask(SHAPE) & ~screen.marks
    far &= find_sector(cine_of(frames)).mask
    assert np.array_equal(seen[far], to_gray(frames[2])[far])


def test_bright_tissue_that_moves_is_no_mark():
    frames = MOVING.copy()
    for number in range(len(frames)):
        frames[number, 150 + 4 * number : 153 + 4 * number, 160:220] = 240
    assert find_screen(cine_of(frames)).marks.sum() < 20
    assert not find_screen(cine_of(frames[:1])).marks.any()


# --- checks -----------------------------------------------------------------------------------------------------------


def test_a_sound_cine_has_no_flags_but_its_notes():
    assert flags_of(large_film(text=False)) == {}
    assert flags_of(large_film(text=False), notes=("a note",)) == {"cine_note": "a note"}


def test_a_single_frame_is_refused_unless_it_will_do():
    with pytest.raises(InputError, match="has 1 frame where a cine of at least 2"):
        flags_of(MOVING[:1])
    assert "cine_text" in flags_of(MOVING[:1], min_frames=1)


def test_color_doppler_is_refused_and_a_tint_is_not():
    frames = in_color(MOVING)
    frames[:, 120:180, 160:220] = (200, 30, 20)
    with pytest.raises(InputError, match=r"color over \d+ % of the image"):
        flags_of(frames)
    tinted = (in_color(MOVING) * np.array([0.8, 0.9, 1.0])).astype(np.uint8)
    assert "cine_marks" not in flags_of(tinted)


def test_frozen_frames_are_flagged_with_their_numbers():
    frames = large_film(count=12)
    frames[4:7] = frames[3]
    frames[9] = frames[8]
    assert "in the frames 4 to 7, 9 to 10." in flags_of(frames)["cine_frozen"]
    with pytest.raises(InputError, match="All 12 frames"):
        flags_of(np.repeat(frames[:1], 12, axis=0))


@pytest.mark.parametrize(("form", "kind"), [(2, "M-mode"), (3, "PW Doppler")])
def test_m_mode_and_spectral_regions(form, kind):
    box, tissue = (0, 0, 383, 287), Region((0, 0, 383, 287), 1, 1, (3, 3), (0.03, 0.03))
    other = Region(box, form, 1 if form == 2 else 3, (4, 7), (0.01, 1.0))
    with pytest.raises(InputError, match=f"shows {kind}, not a B-mode image"):
        flags_of(MOVING, regions=(other,))
    assert kind in flags_of(MOVING, regions=(tissue, other))["cine_other_region"]


def test_two_images_side_by_side_are_flagged():
    both = np.concatenate([MOVING, LINEAR], axis=2)
    assert "side by side" in flags_of(both)["cine_dual"]
    regions = tuple(Region((x, 0, x + 380, 287), 1, 1, (3, 3), (0.03, 0.03)) for x in (0, 384))
    assert "side by side" in flags_of(both, regions=regions)["cine_dual"]
    assert "cine_dual" not in flags_of(MOVING, regions=(regions[0], regions[0]))


def test_a_sweep_of_few_columns_is_flagged():
    frames = np.repeat(LINEAR[:1], 16, axis=0)
    for number in range(1, 16):
        frames[number:, 42:270, 72 + 8 * number : 80 + 8 * number] = LINEAR[
            3, 42:270, 72 + 8 * number : 80 + 8 * number
        ]
    assert "few columns" in flags_of(frames)["cine_sweep"]


def test_an_unknown_pixel_size_is_flagged():
    assert "mm" in flags_of(MOVING, pixel_mm=None)["cine_pixel_size"]


# --- real -------------------------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "liver-us").is_dir(), reason="the real ultrasound in ../shared/data is absent")
def test_the_sector_of_the_liver_sweep_is_that_of_its_description():
    pytest.importorskip("cv2", reason="video needs OpenCV")
    folder = DATA / "liver-us" / "cine-imfusion"
    facts = json.loads(next(folder.glob("*.json")).read_text())["convex"]
    cine = read_cine(next(folder.glob("*.h264")))
    screen = find_screen(cine)
    # The description gives the place of the probe's face; the center of the circles lies one short radius above.
    x0, y0 = facts["transducer_arc_centre_px"]
    j, i = np.indices(cine.frame_shape)
    x, y = i - x0, j - (y0 - facts["short_radius_px"])
    radius, angle = np.hypot(x, y), np.degrees(np.abs(np.arctan2(x, y)))
    truth = (radius >= facts["short_radius_px"]) & (radius <= facts["long_radius_px"])
    truth &= angle <= facts["opening_half_angle_deg"]
    assert dice(screen.sector.mask, truth) > 0.975
    assert {flag.key for flag in check_cine(cine, screen)} == {"cine_note", "cine_pixel_size"}


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "liver-us").is_dir(), reason="the real ultrasound in ../shared/data is absent")
def test_real_abdominal_images_have_a_convex_sector():
    files = [*(DATA / "liver-us" / "lesions-xu" / "images").iterdir()]
    files += sorted((DATA / "liver-us" / "rus" / "images").iterdir())[::6]
    found = [find_sector(read_cine(path)) for path in files]
    assert all(one.kind == "convex" for one in found)
    assert all(abs(sum(one.angles_deg)) < 4 for one in found)
    for path, one in zip(files, found, strict=True):
        frame = read_cine(path).frame(0, gray=True)
        assert (frame[~one.mask] > 60).mean() < 0.003, path.name
