"""Pictures: laterality, physical aspect, nothing clipped, in any geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from PrognosisLib.colors import SEGMENT_COLORS, segment_color
from PrognosisLib.findings import Curve, Findings, Mask, Measurement
from PrognosisLib.reporting import panels, pictures
from PrognosisLib.reporting.surface import ANTERIOR_LEFT, Viewpoint, render
from PrognosisLib.volume import Grid, Volume

REAL = Path(__file__).parents[4] / "shared" / "data" / "abdomen-ct" / "btcv"
BODY = np.array([90.0, 60.0, 80.0])  # half axes of the phantom, mm
LIVER, SPLEEN = np.array([45.0, 10.0, 10.0]), np.array([-50.0, -15.0, 5.0])  # RAS, mm: right and left


def turn(axis: int, degrees: float) -> np.ndarray:
    a, b = [n for n in range(3) if n != axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(np.radians(degrees))
    matrix[a, b], matrix[b, a] = -np.sin(np.radians(degrees)), np.sin(np.radians(degrees))
    return matrix


SHEAR = np.array([[1, 0, 0], [0, 1, 0.33], [0, 0, 1]])
GEOMETRIES = {
    "lps": np.diag([-1.0, -1.0, 1.0]),
    "flipped": np.diag([1.0, -1.0, -1.0]),
    "coronal": np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": turn(0, 20) @ turn(2, -35) @ np.diag([-1.0, -1.0, 1.0]),
    "sheared": SHEAR @ np.diag([-1.0, -1.0, 1.0]),
}


def phantom(direction: np.ndarray, spacing=(2.5, 3.0, 4.0)) -> tuple[Volume, dict[str, Mask]]:
    """A body with a bright liver on the right and a spleen on the left, sampled on any lattice."""
    matrix = np.eye(4)
    matrix[:3, :3] = direction @ np.diag(spacing)
    inverse = np.linalg.inv(matrix[:3, :3])
    reach = np.abs(inverse) @ (BODY + 10.0)
    shape = tuple(int(2 * np.ceil(n)) + 1 for n in reach[::-1])
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2.0)
    grid = Grid(shape, matrix)
    points = grid.to_ras(np.argwhere(np.ones(shape, dtype=bool))).reshape(*shape, 3)
    array = np.where(np.linalg.norm(points / BODY, axis=-1) < 1, 0.0, -1000.0).astype(np.float32)
    liver = np.linalg.norm(points - LIVER, axis=-1) < 30
    spleen = np.linalg.norm(points - SPLEEN, axis=-1) < 20
    array[liver], array[spleen] = 200.0, 100.0
    masks = {
        "Spleen": Mask.from_full("Spleen", spleen, grid),
        "Liver": Mask.from_full("Liver", liver, grid, visible=False),
    }
    return Volume(array, matrix, "CT", "phantom"), masks


@pytest.fixture(scope="module")
def case():
    return phantom(GEOMETRIES["lps"])


def image_panels(figure):
    figure.canvas.draw()
    return [axes for axes in figure.axes if axes.get_title().split(",")[0] in ("Axial", "Coronal", "Sagittal")]


def assert_text_fits(figure):
    """Every text lies inside the figure and is at least 8 points high."""
    figure.canvas.draw()
    renderer, frame = figure.canvas.get_renderer(), figure.bbox
    not_drawn = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            not_drawn |= {id(tick.label1) for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    texts = [text for text in texts if id(text) not in not_drawn]
    assert texts
    for text in texts:
        box = text.get_window_extent(renderer)
        where = f"{text.get_text()!r} {box} in {frame}"
        assert box.x0 >= -0.5, where
        assert box.y0 >= -0.5, where
        assert box.x1 <= frame.x1 + 0.5, where
        assert box.y1 <= frame.y1 + 0.5, where
        assert text.get_fontsize() >= 8, where


def assert_legend_does_not_cover(figure):
    """No legend or footer lies over a panel."""
    renderer = figure.canvas.get_renderer()
    boxes = [legend.get_window_extent(renderer) for legend in figure.legends]
    boxes += [text.get_window_extent(renderer) for text in figure.texts]
    for axes in figure.axes:
        assert not any(box.overlaps(axes.bbox.padded(-1)) for box in boxes)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_slices_show_the_right_voxel_at_the_right_place(name):
    volume, masks = phantom(GEOMETRIES[name])
    figure = pictures.slice_pictures(volume, [masks["Liver"], masks["Spleen"]])
    pixels = pictures.to_image(figure, 60)
    for axes, view in zip(image_panels(figure), (panels.AXIAL, panels.CORONAL, panels.SAGITTAL), strict=True):
        for organ, value in ((LIVER, 200), (SPLEEN, 100)):
            if abs(organ[view.normal] - LIVER[view.normal]) > 15:
                continue  # the planes cut the liver, the first of the masks
            x, y = axes.transData.transform((organ[view.horizontal], organ[view.vertical]))
            red = pixels[pixels.shape[0] - 1 - int(y), int(x), 0]
            assert red == pytest.approx(255 * (value + 160) / 400, abs=6)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_outlines_follow_the_border(name):
    volume, masks = phantom(GEOMETRIES[name])
    figure = pictures.slice_pictures(volume, [masks["Spleen"]])
    axes = image_panels(figure)[0]
    (lines,) = [item for item in axes.collections if len(item.get_paths())]
    vertices = np.concatenate([path.vertices for path in lines.get_paths()])
    assert np.linalg.norm(vertices - SPLEEN[:2], axis=1) == pytest.approx(20.0, abs=3.0)
    assert to_rgb(lines.get_edgecolor()[0][:3]) == pytest.approx(segment_color("Spleen"))


def test_radiological_convention(case):
    volume, masks = case
    figure = pictures.slice_pictures(volume, list(masks.values()))
    expected = {"Axial": "RLAP", "Coronal": "RLSI", "Sagittal": "APSI"}
    for axes in image_panels(figure):
        letters = {text.get_text(): text.get_window_extent() for text in axes.texts if len(text.get_text()) == 1}
        left, right, top, bottom = expected[axes.get_title().split(",")[0]]
        assert set(letters) == {left, right, top, bottom}
        assert letters[left].x1 < axes.bbox.x0 + 20 < axes.bbox.x1 - 20 < letters[right].x0
        assert letters[bottom].y1 < axes.bbox.y0 + 20 < axes.bbox.y1 - 20 < letters[top].y0
    axial = image_panels(figure)[0]
    assert axial.transData.transform((50, 0))[0] < axial.transData.transform((-50, 0))[0]  # right is on the left
    assert axial.transData.transform((0, 50))[1] > axial.transData.transform((0, -50))[1]  # anterior is up


@pytest.mark.parametrize("name", ["lps", "oblique"])
def test_one_physical_scale_in_both_directions_and_all_panels(name):
    volume, masks = phantom(GEOMETRIES[name])
    scales = []
    for figure in (pictures.slice_pictures(volume, [masks["Spleen"]]), pictures.montage(volume, masks["Spleen"])):
        figure.canvas.draw()
        found = []
        for axes in figure.axes:
            step = axes.transData.transform((1.0, 1.0)) - axes.transData.transform((0.0, 0.0))
            found += list(np.abs(step))
        assert found == pytest.approx([found[0]] * len(found), rel=1e-6)
        scales.append(found[0])
    assert scales[1] > 0


def test_scale_bar_is_as_long_as_it_says(case):
    volume, masks = case
    for axes in image_panels(pictures.slice_pictures(volume, [masks["Spleen"]])):
        (label,) = [text.get_text() for text in axes.texts if text.get_text().endswith(" mm")]
        (bar,) = axes.lines
        ends = bar.get_transform().transform(bar.get_xydata())
        mm = abs(np.diff(axes.transData.inverted().transform(ends)[:, 0])[0])
        assert f"{mm:g} mm" == label


def test_titles_give_the_position_and_the_note_the_window(case):
    volume, masks = case
    figure = pictures.slice_pictures(volume, [masks["Spleen"]], (350, 50))
    titles = [axes.get_title() for axes in image_panels(figure)]
    positions = {"Axial": (2, "S", "I"), "Coronal": (1, "A", "P"), "Sagittal": (0, "R", "L")}
    for title in titles:
        name, place = title.split(", ")
        axis, positive, negative = positions[name]
        letter, number, unit = place.split()
        assert letter == (positive if SPLEEN[axis] > 0 else negative)
        assert float(number) == pytest.approx(abs(SPLEEN[axis]), abs=4.0)
        assert unit == "mm"
    assert any("Window 350 HU, level 50 HU" in text.get_text() for text in figure.texts)


def test_planes_meet_a_segment_of_two_parts():
    array = np.zeros((40, 40, 40), dtype=bool)
    array[2:6, 2:6, 2:6] = array[33:38, 33:38, 33:38] = True
    grid = Grid(array.shape, np.diag([-2.0, -2.0, 2.0, 1.0]))
    volume = Volume(array.astype(np.float32), grid.ijk_to_ras)
    figure = pictures.slice_pictures(volume, [Mask.from_full("Spleen", array, grid)])
    assert all(axes.collections for axes in image_panels(figure))


SHAPES = {"one slice": (1, 60, 60), "long": (200, 30, 30), "flat": (40, 6, 60)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_no_text_is_clipped(shape):
    grid = Grid(shape, np.diag([-3.0, -3.0, 4.0, 1.0]))
    rng = np.random.default_rng(1)
    volume = Volume(rng.normal(40, 20, shape).astype(np.float32), grid.ijk_to_ras)
    inside = np.zeros(shape, dtype=bool)
    inside[tuple(slice(n // 4, n // 4 + max(1, n // 2)) for n in shape)] = True
    masks = [Mask.from_full(name, inside, grid) for name in (*SEGMENT_COLORS, "_odd $\\frac{name")]
    findings = Findings("spleen", tuple(masks[-3:]), curves=curves(5))
    for figure in (
        pictures.slice_pictures(volume, masks),
        pictures.montage(volume, masks[0]),
        pictures.overview(volume, findings, title="SpleenVolume " * 10),
        pictures.surface_figure(masks[:2]),
    ):
        assert_text_fits(figure)
    assert_legend_does_not_cover(pictures.slice_pictures(volume, masks))


def test_overview_panels_do_not_overlap(case):
    volume, masks = case
    figure = pictures.overview(volume, Findings("spleen", tuple(masks.values()), curves=curves(3)))
    assert_text_fits(figure)
    assert_legend_does_not_cover(figure)
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert len(boxes) == 5
    for n, box in enumerate(boxes):
        assert not any(box.padded(-1).overlaps(other.padded(-1)) for other in boxes[n + 1 :])


def test_empty_masks_and_no_masks(case):
    volume, _ = case
    empty = Mask.from_full("Spleen", np.zeros(volume.array.shape, dtype=bool), volume.grid)
    for masks in ([], [empty]):
        figure = pictures.slice_pictures(volume, masks)
        assert_text_fits(figure)
        assert not any(axes.collections for axes in image_panels(figure))
        assert render(masks) is None
        assert pictures.surface_picture(masks).min() < 255  # says that there is no segment
    assert len(pictures.montage(volume, empty).axes) == 12


def test_window_of_an_image_without_a_known_range(case):
    volume, masks = case
    mr = Volume(np.abs(volume.array) * 7 + 3, volume.ijk_to_ras, "MR")
    figure = pictures.slice_pictures(mr, [masks["Spleen"]], None)
    low, high = image_panels(figure)[0].images[0].get_clim()
    assert low == pytest.approx(np.percentile(mr.array, 1), rel=0.1)
    assert high == pytest.approx(np.percentile(mr.array, 99), rel=0.1)
    assert not any("HU" in text.get_text() for text in figure.texts)


def test_montage_is_superior_first(case):
    volume, masks = case
    titles = [axes.get_title() for axes in pictures.montage(volume, masks["Liver"]).axes]
    heights = [float(t.split()[1]) * (1 if t.startswith("S") else -1) for t in titles]
    assert len(heights) == 12
    assert np.all(np.diff(heights) < 0)
    assert heights[0] == pytest.approx(LIVER[2] + 30, abs=6)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_surface_is_where_the_segment_is(name):
    _, masks = phantom(GEOMETRIES[name])
    view = render([masks["Spleen"], masks["Liver"]])
    size = len(view.image)
    middle = {}
    for organ in ("Spleen", "Liver"):
        # hue, not brightness: the spleen is bluish, the liver reddish
        red, blue = view.image[..., 0], view.image[..., 2]
        rows, columns = np.nonzero(blue > red + 0.01 if organ == "Spleen" else red > blue + 0.01)
        middle[organ] = (np.array([columns.mean(), rows.mean()]) / size - 0.5) * 2 * view.half_width
    apart = (SPLEEN - LIVER) @ ANTERIOR_LEFT.axes[:2].T
    assert middle["Spleen"] - middle["Liver"] == pytest.approx(apart, abs=8.0)
    assert middle["Spleen"][0] > middle["Liver"][0]  # patient right is on the viewer's left


def test_surface_area_and_letters(case):
    _, masks = case
    view = render([masks["Spleen"]])
    shown = np.any(view.image < 0.999, axis=-1).sum() * (2 * view.half_width / len(view.image)) ** 2
    assert shown == pytest.approx(np.pi * 20**2, rel=0.1)  # a sphere of 20 mm
    letters = {letter: place for place, letter in panels.surface_letters(view)}
    assert letters["R"][0] < 0 < letters["L"][0]
    assert letters["A"][0] < 0 < letters["P"][0]
    assert letters["I"][1] < 0 < letters["S"][1]


def test_what_is_in_front_hides_what_is_behind():
    grid = Grid((40, 40, 40), np.diag([1.0, 1.0, 1.0, 1.0]))
    front, back = np.zeros((2, *grid.shape), dtype=bool)
    front[15:25, 30:35, 15:25] = True  # anterior
    back[12:28, 5:10, 12:28] = True
    view = render(
        [Mask.from_full("Liver", back, grid), Mask.from_full("Spleen", front, grid)], Viewpoint.looking_from((0, 1, 0))
    )
    red, _, blue = view.image[len(view.image) // 2, len(view.image) // 2]
    assert blue > red
    np.testing.assert_allclose(view.viewpoint.axes @ view.viewpoint.axes.T, np.eye(3), atol=1e-12)


def test_a_single_voxel_is_seen():
    one = np.zeros((5, 5, 5), dtype=bool)
    one[2, 2, 2] = True
    view = render([Mask.from_full("Hematoma", one, Grid(one.shape, np.diag([-1.0, -1.0, 5.0, 1.0])))])
    assert np.any(view.image < 0.9)


def curves(count: int, simulated: bool = True) -> tuple[Curve, ...]:
    x = np.linspace(0, 60, 20)
    made = [
        Curve("Overall survival", f"Group {n} of a cohort with a long name, 2022;14:3574", x, np.exp(-x / (30 + n)),
              "Months", "Survival probability", step=True)
        for n in range(count - 1)
    ]  # fmt: skip
    y = np.exp(-x / 40)
    own = Curve("Overall survival", "This patient", x, y, "Months", "Survival probability", y - 0.1, y + 0.1,
                step=True, emphasized=True, simulated=simulated)  # fmt: skip
    return (*made, own)


def test_survival_curves_are_steps_and_the_patients_own_stands_out():
    figure = pictures.survival_picture(curves(3))
    assert_text_fits(figure)
    (axes,) = figure.axes if figure.axes else figure.subfigs[0].axes
    assert "simulated cohort" in axes.get_title(loc="left")
    assert all(line.get_drawstyle() == "steps-post" for line in axes.lines)
    widths = [line.get_linewidth() for line in axes.lines]
    assert widths[-1] > 1.5 * max(widths[:-1])
    assert len({(line.get_color(), str(line.get_linestyle())) for line in axes.lines}) == 3
    assert len(axes.collections) == 1  # the band
    assert axes.get_ylim()[0] == 0


def test_a_chart_without_simulated_curves_does_not_say_simulated():
    figure = pictures.survival_picture(curves(2, simulated=False))
    assert not any("simulated" in text.get_text() for text in figure.findobj(Text))


def test_charts_with_names_that_are_no_math():
    x = np.arange(4.0)
    odd = Curve("A $\\frac{x chart", "_name $\\bad{", x, x, "$\\", "%")
    assert_text_fits(pictures.survival_picture([odd, *curves(3)]))


def test_overview_says_simulated_cohort(case):
    volume, masks = case
    row = Measurement("risk", "Risk", 0.1, simulated=True)
    for measurements, said in (((row,), True), ((), False)):
        figure = pictures.overview(volume, Findings("spleen", tuple(masks.values()), measurements))
        text = " ".join(item.get_text() for item in figure.texts)
        assert ("simulated cohort" in text) == said
        assert "not for clinical use" in text


def test_every_segment_with_a_color_has_codes():
    terminology = pytest.importorskip("PrognosisLib.scene.terminology", reason="needs slicer-core")
    assert {name: entry.color for name, entry in terminology.ENTRIES.items()} == SEGMENT_COLORS


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="the real images in ../shared/data are not here")
def test_the_liver_lies_on_the_viewers_left():
    import SimpleITK as sitk

    from PrognosisLib.images.readers import ijk_to_ras_of

    image, labels = (sitk.ReadImage(str(REAL / f"btcv_03_{kind}.nii.gz")) for kind in ("ct", "labels"))
    volume = Volume(sitk.GetArrayFromImage(image), ijk_to_ras_of(image))
    found = sitk.GetArrayFromImage(labels)
    masks = [Mask.from_full(name, found == value, volume.grid) for name, value in (("Liver", 6), ("Spleen", 1))]
    for axes in image_panels(pictures.slice_pictures(volume, masks))[:2]:
        vertices = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
        assert axes.transData.transform(vertices)[:, 0].mean() < axes.bbox.x0 + axes.bbox.width / 2
