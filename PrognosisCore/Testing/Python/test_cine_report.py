"""Pictures and film of a cine: right side up, outlines and heat in place, nothing that may name a patient."""

from __future__ import annotations

import base64
import gc
import io
import re
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
from cine_cases import APEX, RADII, TEXT_COLUMNS, TEXT_ROWS, film, in_color, sector_mask
from PIL import Image

from PrognosisLib.colors import segment_color
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Curve, Findings, HeatMap, Mask, Measurement
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.screen import find_screen
from PrognosisLib.images.cine.sector import Sector
from PrognosisLib.reporting import cine_file, report
from PrognosisLib.reporting.cine_view import CineView, frame_words, heat_plane
from PrognosisLib.reporting.contact_sheets import contact_sheet, shown_frames
from PrognosisLib.reporting.pictures import to_image
from PrognosisLib.volume import Grid

COUNT, SHAPE, RATE = 12, (96, 128), 16.0
LIVER = (slice(40, 60), slice(50, 80))  # in pixels of the frame
COLOR = np.rint(255 * np.array(segment_color("Liver")))


def a_cine(frames=None, pixel_mm=(0.5, 0.5)) -> Cine:
    frames = film(COUNT) if frames is None else frames
    return Cine(ArrayFrames(frames), steady_times(len(frames), 1 / RATE), pixel_mm, name="Film")


def lattice(step: int, cine: Cine) -> np.ndarray:
    """Matrix of a lattice of cells of `step` x `step` pixels, whose corner is that of the frame."""
    matrix = cine.ijk_to_ras @ np.diag([step, step, 1.0, 1.0])
    matrix[:3, 3] = (cine.ijk_to_ras @ [(step - 1) / 2, (step - 1) / 2, 0, 1])[:3]
    return matrix


def a_mask(cine: Cine, step: int = 2, frames: slice = slice(2, 10)) -> Mask:
    array = np.zeros((COUNT, SHAPE[0] // step, SHAPE[1] // step), bool)
    array[frames, LIVER[0].start // step : LIVER[0].stop // step, LIVER[1].start // step : LIVER[1].stop // step] = True
    return Mask.from_full("Liver", array, Grid(array.shape, lattice(step, cine)))


def a_heat_map(cine: Cine, as_bytes: bool = True, step: int = 4) -> HeatMap:
    """Hot in the lower half of the frame, in the last frames."""
    array = np.zeros((COUNT, SHAPE[0] // step, SHAPE[1] // step), np.float32)
    array[6:, SHAPE[0] // step // 2 :] = 1.0
    values = np.rint(255 * array).astype(np.uint8) if as_bytes else array
    return HeatMap("Grad-CAM", values, Grid(array.shape, lattice(step, cine)))


def findings(cine: Cine, simulated: bool = True) -> Findings:
    rows = (Measurement("chance", "Probability", 62.0, "%", simulated=simulated),)
    curves = (Curve("Over the cine", "3D", cine.times_s, np.full(COUNT, 62.0), "Time (s)", "%", simulated=simulated),)
    return Findings("fibrosis", (a_mask(cine),), rows, (), curves, (a_heat_map(cine),), "Some text.")


def place_of(view: CineView, j: float, i: float) -> tuple[int, int]:
    """Row and column of the picture where the middle of a frame's pixel is."""
    x, y, _one = np.linalg.inv(view.to_frame) @ [i + 0.5, j + 0.5, 1]
    return int(y), int(x)


# --- one frame --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixel_mm", [(0.5, 0.5), (0.6, 0.3), None])
def test_pixels_are_square_and_the_sector_fills_the_picture(pixel_mm):
    view = CineView.of(a_cine(pixel_mm=pixel_mm))
    rows, columns = view.screen.sector.box
    row, column = pixel_mm or (1.0, 1.0)
    high, wide = (rows.stop - rows.start) * row, (columns.stop - columns.start) * column
    assert view.size[0] / view.size[1] == pytest.approx(high / wide, rel=0.04)
    assert max(view.size) == 480
    assert view.size[0] % 2 == view.size[1] % 2 == 0
    lit = view.picture(view.cine.frame(0)).any(axis=2)
    assert lit.mean() > 0.45
    assert view.width_mm == (None if pixel_mm is None else pytest.approx(wide * 1.02, rel=0.03))


def test_a_large_frame_is_not_enlarged_and_a_huge_one_made_smaller():
    large = a_cine(film(4, (576, 768)))
    view = CineView.of(large)
    sides = [side.stop - side.start for side in view.screen.sector.box]
    assert view.size == pytest.approx(sides, rel=0.05)
    assert max(CineView.of(large, longest=300).size) <= 302


def test_the_probe_is_at_the_top():
    """The narrow end of the sector is where it is on the device's screen."""
    view = CineView.of(a_cine())
    lit = view.picture(view.cine.frame(0)).any(axis=2)
    height = view.size[0]
    assert lit[height // 4].sum() < 0.8 * lit[2 * height // 3].sum()
    row, column = place_of(view, APEX[1] + RADII[1] - 4, APEX[0])
    assert lit[row, column]
    assert row > 0.9 * height


@pytest.mark.parametrize("frames", [film(COUNT), in_color(film(COUNT)), film(COUNT).astype(np.uint16) * 200])
def test_what_lies_outside_the_sector_is_never_shown(frames):
    cine = a_cine(frames)
    screen = find_screen(cine)
    assert screen.may_name_patient
    view = CineView.of(cine)
    whole = CineView(cine, screen, (96, 128), np.eye(3), view.brightest)
    picture = whole.picture(cine.frame(3))
    assert cine.frame(3)[TEXT_ROWS, TEXT_COLUMNS].max() > 200
    assert not picture[TEXT_ROWS, TEXT_COLUMNS].any()
    assert picture[60, 64].any()
    assert picture[~screen.sector.mask].max() == 0


def test_gray_values_come_out_as_they_are():
    cine = a_cine()
    view = CineView(cine, find_screen(cine), (96, 128), np.eye(3))
    picture = view.picture(cine.frame(3))
    inside = view.screen.sector.mask
    assert np.array_equal(picture[inside], np.repeat(cine.frame(3)[inside][:, None], 3, axis=1))


def test_the_outline_lies_on_the_masks_border():
    cine = a_cine()
    view = CineView.of(cine)
    drawn = view.drawn(5, cine.frame(5), [a_mask(cine)])
    rows, columns = np.nonzero((drawn == COLOR).all(axis=2))
    scale = view.to_frame[0, 0]
    top, left = place_of(view, LIVER[0].start - 0.5, LIVER[1].start - 0.5)
    bottom, right = place_of(view, LIVER[0].stop - 0.5, LIVER[1].stop - 0.5)
    near = 1.5 / scale  # half a pixel of the mask, and the line's own width
    assert (rows.min(), rows.max()) == (pytest.approx(top, abs=near), pytest.approx(bottom, abs=near))
    assert (columns.min(), columns.max()) == (pytest.approx(left, abs=near), pytest.approx(right, abs=near))
    inside = drawn[top + 8 : bottom - 8, left + 8 : right - 8]
    assert not (inside == COLOR).all(axis=2).any()


def test_frames_without_the_mask_have_no_outline():
    cine = a_cine()
    view = CineView.of(cine)
    for number in (0, 1, 10, 11):
        plain, drawn = view.picture(cine.frame(number)), view.drawn(number, cine.frame(number), [a_mask(cine)])
        assert np.array_equal(plain, drawn)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_heat_is_where_and_when_it_is_and_only_in_the_sector(as_bytes):
    cine = a_cine()
    view = CineView.of(cine)
    heat = a_heat_map(cine, as_bytes)
    plain = view.drawn(5, cine.frame(5), heat_map=heat)
    assert np.array_equal(plain, view.picture(cine.frame(5)))
    picture, drawn = view.picture(cine.frame(8)), view.drawn(8, cine.frame(8), heat_map=heat)
    changed = (picture != drawn).any(axis=2)
    middle, _column = place_of(view, SHAPE[0] / 2 - 0.5, 64)
    assert not changed[: middle - 16].any()
    lit = picture.any(axis=2)
    assert changed[middle + 16 :][lit[middle + 16 :]].mean() > 0.95
    assert not changed[~view._inside].any()


def test_heat_as_bytes_and_as_numbers_is_the_same():
    cine = a_cine()
    for number in (0, 8):
        first, second = (heat_plane(a_heat_map(cine, as_bytes), number) for as_bytes in (True, False))
        assert np.array_equal(first, second)


# --- contact sheets ---------------------------------------------------------------------------------------------------


def test_frames_of_a_sheet_show_the_liver_and_are_spread():
    cine = a_cine()
    view = CineView.of(cine)
    assert shown_frames(view, [a_mask(cine)]) == [2, 4, 5, 6, 8, 9]
    assert shown_frames(view, []) == [1, 3, 5, 7, 9, 11]
    assert shown_frames(view, [a_mask(cine, frames=slice(4, 6))]) == [4, 5]
    assert frame_words(cine, 8) == "Frame 9, 0.50 s"
    still = Cine(ArrayFrames(np.zeros((1, 20, 30), np.uint8)), np.zeros(1))
    assert frame_words(still, 0) == "Still image"


def texts_of(figure) -> list[str]:
    shown = [text.get_text() for text in figure.texts] + [axes.get_title() for axes in figure.axes]
    shown += [text.get_text() for axes in figure.axes for text in axes.texts]
    return [text for text in shown + [t.get_text() for one in figure.legends for t in one.get_texts()] if text]


@pytest.mark.parametrize("pixel_mm", [(0.5, 0.5), None])
def test_a_sheet_says_what_it_shows(pixel_mm):
    cine = a_cine(pixel_mm=pixel_mm)
    view = CineView.of(cine)
    shown = texts_of(contact_sheet(view, [a_mask(cine)]))
    assert {"Frame 3, 0.12 s", "Frame 10, 0.56 s", "Liver"} <= set(shown)
    assert any(text.startswith("12 frames over 0.7 s;") for text in shown)
    assert any(text.endswith(" mm") for text in shown) is (pixel_mm is not None)
    heat = texts_of(contact_sheet(view, [a_mask(cine)], a_heat_map(cine)))
    assert any("Grad-CAM: 0 nothing, 1 most; below 0.1 not colored" in text.replace("\n", " ") for text in heat)


def test_texts_of_a_sheet_stay_on_it_and_apart():
    cine = a_cine()
    figure = contact_sheet(CineView.of(cine), [a_mask(cine)], a_heat_map(cine), width=7.15)
    image = to_image(figure, 100)
    renderer = figure.canvas.get_renderer()
    boxes = [axes.title.get_window_extent(renderer) for axes in figure.axes if axes.get_title()]
    boxes += [text.get_window_extent(renderer) for text in figure.texts]
    for number, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= image.shape[1]
        assert all(not box.overlaps(other) for other in boxes[number + 1 :])


def test_a_still_has_a_sheet_of_one():
    cine = a_cine(film(1))
    assert len(contact_sheet(CineView.of(cine)).axes) == 1


# --- film -------------------------------------------------------------------------------------------------------------


def test_a_film_reads_back_frame_by_frame(tmp_path):
    pytest.importorskip("cv2")
    cine = a_cine()
    view = CineView.of(cine)
    path = cine_file.write_cine(tmp_path, view, [a_mask(cine)], a_heat_map(cine), "simulated cohort")
    assert [one.name for one in tmp_path.iterdir()] == ["cine.mp4"]
    again = read_cine(path)
    assert len(again) == COUNT
    assert again.frame_rate == pytest.approx(RATE, rel=0.01)
    rows, columns = view.size
    assert again.frame_shape[1] == columns
    assert again.frame_shape[0] > rows
    for number in (0, 5, 8):
        shown = np.atleast_3d(again.frame(number))[:rows].astype(float)  # so little color counts as gray
        wanted = view.drawn(number, cine.frame(number), [a_mask(cine)], a_heat_map(cine)).astype(float)
        assert np.abs(shown - wanted).mean() < 10
        assert again.frame(number)[rows:].mean() > 200  # the caption is dark on white


def test_the_film_of_a_video(tmp_path):
    """Both are videos; neither waits for the other."""
    pytest.importorskip("cv2")
    (tmp_path / "first").mkdir()
    first = cine_file.write_cine(tmp_path / "first", CineView.of(a_cine()))
    video = read_cine(first)
    assert len(read_cine(cine_file.write_cine(tmp_path, CineView.of(video)))) == COUNT


def test_every_frame_has_its_own_caption(tmp_path):
    cine = a_cine()
    caption = cine_file._Caption(CineView.of(cine), [a_mask(cine)], a_heat_map(cine), "simulated cohort")
    first, second = caption.drawn(0), caption.drawn(1)
    assert first.shape == (caption.rows, 480, 3) or first.shape[1] == max(CineView.of(cine).size)
    line = slice(cine_file.CAPTION_EDGE, cine_file.CAPTION_EDGE + cine_file.LINE_ROWS)
    assert (first[line] != second[line]).any()
    assert np.array_equal(first[line.stop :], second[line.stop :])


def test_captions_wrap_to_a_narrow_picture():
    lines = cine_file._wrapped("Research and teaching, not for clinical use", 120)
    assert len(lines) > 1
    assert all(cine_file._font().getlength(line) <= 120 for line in lines)
    assert " ".join(lines) == "Research and teaching, not for clinical use"


def test_without_opencv_there_is_an_animated_gif(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr(cine_file, "GIF_FRAMES", 5)
    cine = a_cine()
    path = cine_file.write_cine(tmp_path, CineView.of(cine), [a_mask(cine)])
    assert [one.name for one in tmp_path.iterdir()] == ["cine.gif"]
    with Image.open(path) as image:
        assert image.n_frames == 4  # every third of twelve
        assert image.info["duration"] == pytest.approx(3000 / RATE, abs=10)
        assert max(image.size) <= 480 + 120


def test_a_codec_that_is_not_there_gives_a_gif(tmp_path, monkeypatch):
    pytest.importorskip("cv2")
    monkeypatch.setattr(cine_file, "CODEC", "????")
    assert cine_file.write_cine(tmp_path, CineView.of(a_cine())).name == "cine.gif"


class CountingFrames(ArrayFrames):
    """Knows how many of the frames that it gave are still alive."""

    def __init__(self, frames):
        super().__init__(frames)
        self.most, self._alive = 0, weakref.WeakSet()

    def iterate(self, indices, gray=False):
        for frame in super().iterate(indices, gray):
            self._alive.add(_Owner(frame))
            gc.collect(0)
            self.most = max(self.most, len(self._alive))
            yield frame


class _Owner:
    """Dies with the frame that it belongs to."""

    def __init__(self, frame):
        weakref.finalize(frame, lambda kept: None, self)


def test_frames_are_not_gathered(tmp_path):
    pytest.importorskip("cv2")
    source = CountingFrames(film(30))
    cine = Cine(source, steady_times(30, 0.05), (0.5, 0.5))
    view = CineView.of(cine)
    source.most = 0
    cine_file.write_cine(tmp_path, view)
    assert source.most <= 4


# --- report -----------------------------------------------------------------------------------------------------------


def pictures_in(html: str) -> list[Image.Image]:
    return [
        Image.open(io.BytesIO(base64.b64decode(text))) for text in re.findall(r"data:image/png;base64,([^\"]+)", html)
    ]


def test_the_report_of_a_cine(tmp_path):
    cine = a_cine()
    html = report.write_report(tmp_path, findings(cine), cine, {}, {}).read_text("utf-8")
    assert "Ultrasound cine, 12 frames over 0.7 s, 128 × 96 pixels of 0.5 × 0.5 mm." in html
    assert len(pictures_in(html)) == 3  # outlines, heat map, curve
    film_file = next(path for path in tmp_path.iterdir() if path.stem == "cine")
    assert f'<a href="{film_file.name}">{film_file.name}</a>' in html
    assert "Frames of the cine in the order of time with outlines of Liver." in html
    assert "Grad-CAM (simulated cohort) over the same frames" in html
    assert "3D view" not in html
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", film_file.name}


def test_the_report_of_a_still_has_no_film(tmp_path):
    still = a_cine(film(1), pixel_mm=None)
    html = report.write_report(tmp_path, Findings("fibrosis"), still, {}, {}).read_text("utf-8")
    assert "Ultrasound cine, one frame, 128 × 96 pixels whose size is not known." in html
    assert len(pictures_in(html)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


NOT_SHOWN = "No ultrasound image was found in the frames, or text could not be told from it: none is shown."


def test_frames_in_which_no_sector_is_found_are_not_shown(tmp_path):
    dark = np.zeros((5, *SHAPE), np.uint8)
    html = report.write_report(tmp_path, Findings("fibrosis"), a_cine(dark), {}, {}).read_text("utf-8")
    assert NOT_SHOWN in html
    assert pictures_in(html) == []
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_what_cannot_be_told_from_text_is_not_shown(tmp_path):
    cine = a_cine()
    screen = find_screen(cine)
    lit = replace(screen, sector=Sector("irregular", screen.sector.mask))
    with pytest.raises(InputError, match="cannot be told from text"):
        CineView.of(cine, screen=lit)
    assert CineView.of(cine, screen=replace(lit, burned_in=False)).size == CineView.of(cine).size


def test_the_sector_of_the_tests_is_found():
    found = find_screen(a_cine()).sector.mask
    assert np.count_nonzero(found ^ sector_mask()) < 0.05 * found.size
