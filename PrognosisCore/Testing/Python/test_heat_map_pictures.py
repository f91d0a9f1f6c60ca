"""A heat map in the report: over the right voxels, on slices that show it, with a color bar and words that fit."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest
from test_pictures import assert_text_fits
from test_report import PROVENANCE, make_findings, make_volume

from PrognosisLib.findings import HeatMap, Mask
from PrognosisLib.reporting import report
from PrognosisLib.reporting.heat_maps import heat_map_picture, strongest_slices
from PrognosisLib.volume import Grid, Volume

# 5 mm slices of a head, stored from superior to inferior.
MATRIX = np.array([[-0.9, 0, 0, 54], [0, -0.9, 0, 54], [0, 0, -5, 60], [0, 0, 0, 1.0]])
VOLUME = Volume(np.full((24, 120, 120), 35, np.int16), MATRIX, "CT", "Head")
HOT = (slice(8, 15), slice(30, 50), slice(70, 90))


def heat(peak: float = 1.0, slices: slice = HOT[0], name: str = "What drove the score") -> HeatMap:
    array = np.zeros(VOLUME.array.shape, np.float32)
    array[slices, HOT[1], HOT[2]] = 0.5 * peak
    array[slices.start + 1, HOT[1], HOT[2]] = peak
    return HeatMap(name, array, VOLUME.grid)


def test_slices_pass_through_voxel_centers_where_the_heat_is():
    found = strongest_slices(heat())
    assert len(found) == 4
    assert found == sorted(found, reverse=True)
    centers = 60.0 - 5.0 * np.arange(8, 15)
    assert set(found) <= set(centers)
    assert 60.0 - 5.0 * 9 in found
    assert min(found) <= 60.0 - 5.0 * 12


@pytest.mark.parametrize(("slices", "count"), [(slice(8, 9), 1), (slice(8, 10), 2), (slice(3, 7), 4)])
def test_no_slice_is_shown_twice(slices, count):
    array = np.zeros(VOLUME.array.shape, np.float32)
    array[slices] = 0.4
    found = strongest_slices(HeatMap("Heat", array, VOLUME.grid))
    assert len(found) == len(set(found)) == count


def test_a_cold_heat_map_is_shown_at_its_middle():
    assert strongest_slices(heat(peak=0.05)) == pytest.approx([60.0 - 5.0 * 11.5])


def test_an_oblique_heat_map_has_slices_inside_it():
    angle = np.radians(20.0)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    oblique = HeatMap("Heat", heat().array, Grid(VOLUME.array.shape, turn @ MATRIX))
    points = oblique.grid.to_ras(np.argwhere(oblique.array >= 0.1))
    found = strongest_slices(oblique)
    assert len(set(found)) == 4
    assert points[:, 2].min() - 0.01 <= min(found) < max(found) <= points[:, 2].max() + 0.01


def test_color_lies_over_the_hot_voxels_only():
    figure = heat_map_picture(VOLUME, heat(), (), (80, 40), 7.15)
    panels = [axes for axes in figure.axes if len(axes.images) == 2]
    assert len(panels) == 4
    corners = np.array([[8, 30, 70], [8, 49, 89]])
    (r0, a0, _), (r1, a1, _) = VOLUME.grid.to_ras(corners)
    for axes in panels:
        plane = axes.images[1].get_array()
        left, right, bottom, top = axes.images[1].get_extent()
        rows, columns = np.nonzero(~np.ma.getmaskarray(plane))
        x = left + (columns + 0.5) * (right - left) / plane.shape[1]
        y = bottom + (rows + 0.5) * (top - bottom) / plane.shape[0]
        assert [x.min(), x.max()] == pytest.approx(sorted((r0, r1)), abs=1.0)
        assert [y.min(), y.max()] == pytest.approx(sorted((a0, a1)), abs=1.0)
        assert axes.images[1].get_extent() == pytest.approx(axes.images[0].get_extent(), abs=1.0)


@pytest.mark.parametrize("name", ["Evidence", "What drove the score of growth " * 6, "a $x_1$ & <b>"])
def test_the_color_bar_has_words_that_fit(name):
    mask = Mask.from_full("Hematoma", heat().array > 0.3, VOLUME.grid)
    figure = heat_map_picture(VOLUME, heat(name=name), [mask], (80, 40), 7.15)
    assert_text_fits(figure)
    words = " ".join(text.get_text() for text in figure.texts)
    assert name.split()[0] in words
    assert "Window 80 HU, level 40 HU" in words


def test_the_report_shows_heat_maps_and_says_what_they_are(tmp_path):
    volume = make_volume()
    array = np.zeros(volume.array.shape, np.float32)
    array[6:12, 20:30, 22:32] = 0.7
    findings = make_findings(heat_maps=(HeatMap("Evidence <1>", array, volume.grid),))
    path = report.write_report(tmp_path, findings, volume, PROVENANCE, {})
    page = path.read_text("utf-8")
    assert "Evidence &lt;1&gt; (simulated cohort) over axial slices" in page
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    without = report.slice_images(make_findings(), volume)
    assert len(pictures) == len(without) + 2  # and a chart
    assert base64.b64decode(pictures[len(without)]).startswith(b"\x89PNG")
