"""Cines to sequences that a browser plays, and sequences of the scene to cines."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import NamedTuple

import numpy as np
import slicer
import vtk

from ..errors import InputError
from ..images.cine.cine import ArrayFrames, Cine, Region, as_gray_values, steady_times
from ..volume import Volume
from .places import ijkToLocal, newNode, parentToWorld
from .volumes import WINDOWS, fromVolume, makeImage, setImage

# What a sequence of images cannot tell by itself, as JSON in an attribute of its node.
FACTS = "Prognosis.cine"
NOMINAL_RATE = 25.0
NEAREST_S = 1e-3
SECONDS = {"s": 1.0, "": 1.0, "ms": 1e-3}


class CineNodes(NamedTuple):
    """The nodes of a cine: the sequence, the browser that plays it, and the volume that shows the chosen frame."""

    sequence: object
    browser: object
    volume: object


def fromImage(image: Volume | Cine, window: tuple[float, float] | None = None):
    """Adds an image to the scene; gives its volume node, of a cine that which shows its frames.

    Args:
        window: width and level of the display, of a Volume.
    """
    return fromCine(image).volume if isinstance(image, Cine) else fromVolume(image, window=window)


def fromCine(cine: Cine, name: str | None = None) -> CineNodes:
    """Adds a sequence with a volume of one slice for each frame, its browser and the volume that it shows.

    Index values are seconds, the browser plays at the cine's own rate, and the spacing is the size of a pixel (1 mm
    where it is not known; `toCine` still knows that it is not). Color frames become vector volumes. All frames are in
    memory then.
    """
    name = name or cine.name
    sequence = newNode("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    # Values closer than this are one item.
    shortest = float(np.diff(cine.times_s).min()) if len(cine) > 1 else 1.0
    sequence.SetNumericIndexValueTolerance(min(NEAREST_S, shortest / 4))
    facts = {
        "pixelKnown": cine.pixel_mm is not None,
        "regions": [asdict(region) for region in cine.regions],
        "notes": list(cine.notes),
        "burnedIn": cine.burned_in,
        "taken": None if cine.taken is None else cine.taken.isoformat(),
        "patient": cine.patient,
    }
    sequence.SetAttribute(FACTS, json.dumps(facts))
    className = "vtkMRMLVectorVolumeNode" if cine.is_color else "vtkMRMLScalarVolumeNode"
    frameNode = slicer.mrmlScene.CreateNodeByClass(className)
    frameNode.UnRegister(None)
    frameNode.SetName(name)
    wasModifying = sequence.StartModify()
    for time, frame in zip(cine.times_s, cine.frames(), strict=True):
        setImage(frameNode, _frameImage(frame), cine.ijk_to_ras)
        sequence.SetDataNodeAtValue(frameNode, f"{time:.6f}")
    sequence.EndModify(wasModifying)
    browser = addBrowser(sequence, cine.frame_rate)
    volume = browser.GetProxyNode(sequence)
    volume.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    _showGrays(volume, 255.0 if cine.source.dtype == np.uint8 else float(max(256, cine.frame(0).max())))
    return CineNodes(sequence, browser, volume)


def _frameImage(frame: np.ndarray) -> vtk.vtkImageData:
    """A vtkImageData of one slice from a frame (j, i) or (j, i, 3)."""
    if frame.ndim == 2:
        return makeImage(frame[None])
    image = makeImage(np.ascontiguousarray(frame).reshape(1, frame.shape[0], -1))
    image.SetDimensions(frame.shape[1], frame.shape[0], 1)
    image.GetPointData().GetScalars().SetNumberOfComponents(3)
    return image


def addBrowser(sequence, frameRate: float | None):
    """A browser at the first frame, with the volume that it shows."""
    browser = newNode("vtkMRMLSequenceBrowserNode", f"{sequence.GetName()} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetPlaybackRateFps(frameRate or NOMINAL_RATE)
    browser.SetSelectedItemNumber(0)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser


def _showGrays(volume, highest: float) -> None:
    """The whole range of gray values; color is shown as it is."""
    if volume.GetDisplayNode() is None:
        volume.CreateDefaultDisplayNodes()
    if volume.IsA("vtkMRMLVectorVolumeNode"):
        return
    width, level = WINDOWS["US"] if highest == 255.0 else (highest, highest / 2)
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(width, level)
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")


def toCine(node) -> Cine:
    """A cine of the scene as the user sees it: its frames, times, and the size of its pixels in the world.

    The frames are the nodes' own, not copied; they stay valid when the nodes are deleted.

    Args:
        node: a sequence of volumes of one slice, its browser, the volume that shows it, or a volume whose slices are
            the frames (as which Slicer loads a multi-frame file).

    Raises:
        InputError: no node, no sequence of flat images, frames of different size, or pixel size.
    """
    if node is None:
        raise InputError("No cine is chosen; load an ultrasound cine and choose it.")
    sequence, browser = sequenceOf(node)
    if sequence is None:
        return _fromSlices(node)
    name, count = sequence.GetName(), sequence.GetNumberOfDataNodes()
    if not count:
        raise InputError(f"'{name}' has no frame; load the cine again.")
    items = [sequence.GetNthDataNode(number) for number in range(count)]
    frames = [_frameOf(item, name) for item in items]
    for number, frame in enumerate(frames):
        if frame.shape != frames[0].shape or frame.dtype != frames[0].dtype:
            raise InputError(
                f"Frame {number + 1} of '{name}' ({' x '.join(map(str, frame.shape))}) differs from the first "
                f"({' x '.join(map(str, frames[0].shape))}); give the frames of one cine."
            )
    facts = json.loads(sequence.GetAttribute(FACTS) or "{}")
    times, notes = _timesOf(sequence, browser)
    return Cine(
        ArrayFrames(frames),
        times,
        pixelSize(sequence, browser),
        tuple(_regionOf(region) for region in facts.get("regions", [])),
        name,
        (*facts.get("notes", []), *notes),
        facts.get("burnedIn"),
        datetime.fromisoformat(facts["taken"]) if facts.get("taken") else None,
        facts.get("patient", ""),
    )


def sequenceOf(node) -> tuple[object, object]:
    """The sequence that a node is, plays or shows, with its browser; (None, None) for a volume that shows none."""
    logic = slicer.modules.sequences.logic()
    if node.IsA("vtkMRMLSequenceBrowserNode"):
        sequence = node.GetMasterSequenceNode()
        if sequence is None:
            raise InputError(f"'{node.GetName()}' plays no sequence; choose the cine.")
        return sequence, node
    if node.IsA("vtkMRMLSequenceNode"):
        return node, logic.GetFirstBrowserNodeForSequenceNode(node)
    browser = logic.GetFirstBrowserNodeForProxyNode(node)
    return (None, None) if browser is None else (browser.GetSequenceNode(node), browser)


def pixelSize(sequence, browser) -> tuple[float, float] | None:
    """Row and column spacing in mm of a cine's frames in the world; None where it is not known.

    Raises:
        InputError: the frames differ in it, or are under a non-linear transform.
    """
    proxy = browser.GetProxyNode(sequence) if browser is not None else None
    toWorld = parentToWorld(proxy) if proxy is not None else np.eye(4)
    items = (sequence.GetNthDataNode(number) for number in range(sequence.GetNumberOfDataNodes()))
    pixels = np.array([_pixelOf(toWorld @ ijkToLocal(item)) for item in items])
    if np.ptp(pixels, axis=0).max() > 1e-3 * pixels[0].min():
        name = sequence.GetName()
        raise InputError(f"The frames of '{name}' differ in the size of their pixels; give the frames of one cine.")
    return _known(pixels[0], json.loads(sequence.GetAttribute(FACTS) or "{}").get("pixelKnown"))


def _frameOf(item, name: str) -> np.ndarray:
    """The frame (j, i) or (j, i, 3) of one item."""
    array = _arrayOf(item, name)
    if array.shape[0] != 1:
        raise InputError(f"'{name}' is a sequence of volumes of {array.shape[0]} slices, not a cine; choose a cine.")
    return array[0]


def _arrayOf(volume, name: str) -> np.ndarray:
    """Gray values (k, j, i) or (k, j, i, 3) of a volume node, read-only."""
    image = volume.GetImageData() if volume is not None and volume.IsA("vtkMRMLVolumeNode") else None
    if image is None or not image.GetNumberOfPoints():
        raise InputError(f"'{name}' has frames that are no images; choose an ultrasound cine.")
    if image.GetNumberOfScalarComponents() not in (1, 3):
        raise InputError(
            f"'{name}' has {image.GetNumberOfScalarComponents()} values per pixel; choose a gray or RGB cine."
        )
    array = as_gray_values(slicer.util.arrayFromVolume(volume), name).view()
    array.flags.writeable = False
    return array


def _pixelOf(ijkToWorld: np.ndarray) -> tuple[float, float]:
    """Row and column spacing in mm: the lengths of a step along j and along i."""
    column, row = np.linalg.norm(ijkToWorld[:3, :2], axis=0)
    return float(row), float(column)


def _known(pixel: np.ndarray, known: bool | None) -> tuple[float, float] | None:
    """The size of a pixel, or None where it is not known: exactly 1 mm is what readers write then."""
    if known is False or (known is None and tuple(pixel) == (1.0, 1.0)):
        return None
    return float(pixel[0]), float(pixel[1])


def _regionOf(facts: dict) -> Region:
    return Region(**{key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()})


def _timesOf(sequence, browser) -> tuple[np.ndarray, tuple[str, ...]]:
    """Index values as seconds from the first frame; where they are no times, steps at the browser's rate."""
    count = sequence.GetNumberOfDataNodes()
    scale = SECONDS.get(sequence.GetIndexUnit() or "")
    try:
        times = np.array([float(sequence.GetNthIndexValue(number)) for number in range(count)]) * (scale or 1.0)
    except ValueError:
        scale = None
    isCounted = scale is not None and sequence.GetIndexName() != "time" and np.array_equal(times, np.round(times))
    if scale is not None and not isCounted and np.all(np.diff(times) > 0):
        return times - times[0], ()
    rate = browser.GetPlaybackRateFps() if browser is not None else 0.0
    rate = rate if rate > 0 else NOMINAL_RATE
    return steady_times(count, 1 / rate), (f"The sequence has no times; {rate:g} frames per second are assumed.",)


def _fromSlices(volume) -> Cine:
    """The slices of a volume as frames."""
    name = volume.GetName()
    array = _arrayOf(volume, name)
    pixel = _known(np.array(_pixelOf(parentToWorld(volume) @ ijkToLocal(volume))), None)
    notes = (f"The slices of a volume are taken for frames, {NOMINAL_RATE:g} per second.",) if len(array) > 1 else ()
    return Cine(ArrayFrames(array), steady_times(len(array), 1 / NOMINAL_RATE), pixel, (), name, notes)
