# ruff: noqa: E402
"""What the tests of films in the scene share: a cine in the scene, findings on a coarser lattice, and its state."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from PrognosisLib import headless

headless.start()

import slicer
from scene_cases import digest, rotation

from PrognosisLib import scene
from PrognosisLib.findings import Curve, Findings, HeatMap, Interval, Mask, Measurement
from PrognosisLib.images.cine.cine import ArrayFrames, Cine
from PrognosisLib.scene import known, segments
from PrognosisLib.scene.films import trackOf
from PrognosisLib.volume import Grid

COUNT, ROWS, COLUMNS = 9, 48, 60
EMPTY_FRAMES = (0, 4)


def a_cine(count: int = COUNT, pixel: tuple[float, float] | None = (0.4, 0.3), color: bool = False) -> Cine:
    """Frames whose values tell their number and place."""
    frames = np.random.default_rng(1).integers(0, 200, (count, ROWS, COLUMNS), dtype=np.uint8)
    frames[:, 0, 0] = np.arange(count)
    times = np.cumsum(np.where(np.arange(count) % 3, 0.04, 0.05)) - 0.05
    frames = np.repeat(frames[..., None], 3, axis=-1) if color else frames
    return Cine(ArrayFrames(frames), times, pixel, name="liver")


def coarse(grid: Grid, step: tuple[float, float] = (3.0, 2.5), shape: tuple[int, int] = (16, 24)) -> Grid:
    """A lattice of all frames with this step in pixels along j and i, whose first pixel covers the frame's corner."""
    inFrame = np.diag([step[1], step[0], 1.0, 1.0])
    inFrame[:2, 3] = (step[1] - 1) / 2, (step[0] - 1) / 2
    return Grid((grid.shape[0], *shape), grid.ijk_to_ras @ inFrame)


@st.composite
def lattices(draw, grid: Grid) -> Grid:
    """Of all frames: turned, sheared, flipped and shifted in the plane of the image, of any step."""
    inFrame = np.eye(4)
    inFrame[:2, :2] = rotation((0, 0, draw(st.floats(-180, 180))))[:2, :2]
    inFrame[0, 1] += draw(st.floats(-0.3, 0.3))
    inFrame[:2, :2] *= [draw(st.floats(0.7, 4.0)), draw(st.floats(0.7, 4.0)) * draw(st.sampled_from([-1, 1]))]
    inFrame[:2, 3] = draw(st.floats(-5, 60)), draw(st.floats(-5, 60))
    shape = draw(st.tuples(st.integers(4, 20), st.integers(4, 20)))
    return Grid((grid.shape[0], *shape), grid.ijk_to_ras @ inFrame)


def blob(grid: Grid, shift: int = 0) -> np.ndarray:
    """Another one in each frame, bool (t, j, i); two frames have none."""
    array = np.zeros(grid.shape, dtype=bool)
    for number in range(grid.shape[0]):
        if number not in EMPTY_FRAMES:
            top = (number + shift) % (grid.shape[1] - 3)
            array[number, top : top + 3, 1 : 4 + number % 3] = True
    return array


def film_findings(grid: Grid, shift: int = 0, dtype: type = np.float32, system: str = "film") -> Findings:
    """Two masks, of which one is empty in some frames, a row, a chart and a heat map."""
    values = np.random.default_rng(shift).random(grid.shape)
    heat = (values * 255).astype(np.uint8) if dtype is np.uint8 else values.astype(np.float32)
    liver = Mask.from_full(
        "Liver", blob(grid, shift), grid, volume_ml=Interval(1.0, 1 / 3), confidence=0.75, evidence='{"x": "ä|:"}'
    )
    time = np.linspace(0, 1, grid.shape[0])
    return Findings(
        system,
        (liver, Mask.from_full("Vessel", np.roll(blob(grid, shift), 1, axis=2), grid, visible=False)),
        (Measurement("liver_area", "Liver area", 1.5 + shift, "cm²", place=(0.0, 0.0, 3.0)),),
        curves=(Curve("Liver over time", "Area", time, time, "s", "cm²"),),
        heat_maps=(HeatMap("Heat", heat, grid),),
    )


def show(browser, number: int) -> None:
    """Moves the browser to a frame, as its slider does."""
    browser.SetSelectedItemNumber(number)


def draw(segmentation, volume, name: str, part: tuple[slice, slice]) -> None:
    """Fills some of the frame's own pixels of the frame that is shown, as Segment Editor would."""
    segmentID = scene.findSegmentID(segmentation, name)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentID, volume)
    array[(0, *part)] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, segmentID, volume)


def erase(segmentation, name: str) -> None:
    """Takes the first pixel of a segment in the frame that is shown, on its own lattice."""
    segmentID = scene.findSegmentID(segmentation, name)
    array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentation, segmentID)
    array[tuple(np.argwhere(array)[0])] = 0
    segmentation.GetSegmentation().GetSegment(segmentID).GetRepresentation("Binary labelmap").Modified()


def same_masks(found: dict[str, Mask], wanted: tuple[Mask, ...]) -> bool:
    """Whether the masks have the same pixels, on exactly the same lattice, in the same box."""
    return set(found) == {mask.name for mask in wanted} and all(
        found[mask.name].checksum == mask.checksum
        and found[mask.name].grid.shape == mask.grid.shape
        and np.array_equal(found[mask.name].grid.ijk_to_ras, mask.grid.ijk_to_ras)
        for mask in wanted
    )


def film_digest() -> dict:
    """As `scene_cases.digest`, with what the sequences hold and who plays them."""
    state = digest()
    for sequence in slicer.util.getNodesByClass("vtkMRMLSequenceNode"):
        items = [sequence.GetNthDataNode(number) for number in range(sequence.GetNumberOfDataNodes())]
        state[sequence.GetID()] = [sequence.GetName(), sequence.GetAttribute("Prognosis.segments"), *map(_item, items)]
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        state[browser.GetID()] = [browser.GetSelectedItemNumber(), browser.GetNumberOfSynchronizedSequenceNodes(True)]
    return state


def _item(node) -> list:
    if node.IsA("vtkMRMLVolumeNode"):
        return [slicer.util.arrayFromVolume(node).tobytes(), np.round(segments_matrix(node), 9).tolist()]
    segmentation = node.GetSegmentation()
    parts = []
    for key in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(key)
        image = segment.GetRepresentation("Binary labelmap")
        isEmpty = segments.isEmpty(image)
        inside, start = (None, np.zeros(3)) if isEmpty else segments.filledBox(image, segment.GetLabelValue())
        parts.append([key, segment.GetName(), segment.GetColor(), known.checksum(inside, start)])
    return parts


def segments_matrix(volume) -> np.ndarray:
    return slicer.util.arrayFromVTKMatrix(_ijk_to_ras(volume))


def _ijk_to_ras(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def items_of(node) -> list:
    """The nodes of the frames that a node shows."""
    return trackOf(node).items
