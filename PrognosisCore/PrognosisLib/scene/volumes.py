"""Volume nodes to Volumes and back."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..errors import InputError
from ..findings import HeatMap
from ..volume import Grid, Volume
from .places import hasLinearPlace, ijkToLocal, imageShape, newNode, worldGrid

# Window width and level in the unit of the image; soft tissue for CT.
WINDOWS = {"CT": (400.0, 40.0), "US": (255.0, 127.5)}
HEAT_COLORS = "vtkMRMLColorTableNodeIron"
HEAT_THRESHOLD = 0.1


def toVolume(node, modality: str = "CT", harden: bool = False) -> Volume:
    """A scalar volume node as the user sees it: its array and its IJK-to-RAS matrix in world coordinates.

    The array is the node's own, read-only and not copied; it stays valid when the node is deleted.

    Args:
        node: vtkMRMLScalarVolumeNode. Linear parent transforms go into the matrix.
        modality: "CT", "MR" or "US".
        harden: under a non-linear transform, resample a copy with it rather than refuse; the scene stays as it is. What
            the transform moves out of the volume's box is cut off, as in Slicer.

    Raises:
        InputError: no node, a label map, a color, 4-D or empty volume, NaN or infinite voxels, zero spacing, or a
            non-linear transform without `harden`.
    """
    _checkKind(node)
    imageShape(node)
    if harden and not hasLinearPlace(node):
        node = _hardenedCopy(node)
        grid = Grid(imageShape(node), ijkToLocal(node))
    else:
        grid = worldGrid(node)
    array = slicer.util.arrayFromVolume(node).view()
    array.flags.writeable = False
    if array.dtype.kind == "f" and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        raise InputError(
            f"'{node.GetName()}' has voxels that are not numbers (NaN or infinite); export it again or replace them."
        )
    return Volume(array, grid.ijk_to_ras, modality, node.GetName() or "image")


def _checkKind(node) -> None:
    """Says in words why a node cannot be read as one gray-value volume."""
    if node is None:
        raise InputError("No volume is chosen; load a scan and choose it.")
    name = node.GetName()
    if node.IsA("vtkMRMLSequenceNode") or node.IsA("vtkMRMLSequenceBrowserNode"):
        raise InputError(f"'{name}' is a sequence; choose the volume that its sequence browser shows.")
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(f"'{name}' is a label map, not a scan; choose the scan, or import it as a segmentation.")
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(f"'{name}' is not a volume; choose a scan.")
    isTensor = node.IsA("vtkMRMLTensorVolumeNode") or node.IsA("vtkMRMLVectorVolumeNode")
    image = node.GetImageData()
    if isTensor or (image is not None and image.GetNumberOfScalarComponents() > 1):
        raise InputError(f"'{name}' has several values per voxel (color or 4-D); choose a volume with one gray value.")


def _hardenedCopy(node):
    """A node outside the scene with the parent transforms applied to a copy of the voxels."""
    image = vtk.vtkImageData()
    image.DeepCopy(node.GetImageData())
    copy = slicer.vtkMRMLScalarVolumeNode()
    copy.SetName(node.GetName())
    copy.SetAndObserveImageData(image)
    copy.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToLocal(node)))
    transform = vtk.vtkGeneralTransform()
    node.GetParentTransformNode().GetTransformToWorld(transform)
    copy.ApplyTransform(transform)
    return copy


def fromVolume(volume: Volume, name: str | None = None, window: tuple[float, float] | None = None, copy: bool = True):
    """Adds a vtkMRMLScalarVolumeNode with the array, its matrix (shear included) and a fitting window.

    Args:
        volume: any orientation. Its matrix becomes the node's; the node has no parent transform.
        name: node name; the volume's own by default.
        window: width and level of the display; by default soft tissue for CT, the whole range for US, and the 1st to
            99th percentile otherwise.
        copy: False shares the array with the node, where its type allows: faster, for one that nobody else changes.
    """
    image = makeImage(volume.array, copy)
    width, level = window or WINDOWS.get(volume.modality) or _percentileWindow(volume.array)
    node = newNode("vtkMRMLScalarVolumeNode", name or volume.name)
    setImage(node, image, volume.ijk_to_ras)
    display = _addDisplay(node, "vtkMRMLColorTableNodeGrey")
    display.SetWindowLevel(width, level)
    return node


def _addDisplay(node, colorNodeID: str):
    """A display node with a fixed window; the automatic one, on by default, would look at every voxel first."""
    display = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.UnRegister(None)
    display.SetAutoWindowLevel(False)
    display.SetAutoThreshold(False)
    display = slicer.mrmlScene.AddNode(display)
    display.SetAndObserveColorNodeID(colorNodeID)
    node.SetAndObserveDisplayNodeID(display.GetID())
    return display


def _percentileWindow(array: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(array[:: max(1, array.shape[0] // 32), ::4, ::4], [1, 99])
    return max(float(high - low), 1e-3), float(low + high) / 2.0


def makeImage(array: np.ndarray, copy: bool = True) -> vtk.vtkImageData:
    """A vtkImageData of a (k, j, i) array; types that VTK lacks are widened."""
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    scalars = numpy_to_vtk(native.reshape(-1), deep=copy)
    scalars.SetName("ImageScalars")
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape[::-1])
    image.GetPointData().SetScalars(scalars)
    return image


def setImage(node, image: vtk.vtkImageData, ijkToRas: np.ndarray) -> None:
    """Gives a volume node another image and matrix at once."""
    with slicer.util.NodeModify(node):
        node.SetAndObserveImageData(image)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))


def styleHeatMap(node, highest: float = 1.0) -> None:
    """Colors 0..highest and leaves the lowest tenth transparent, so that the scan shows through."""
    display = _addDisplay(node, HEAT_COLORS)
    display.SetWindowLevelMinMax(0.0, highest)
    display.SetThreshold(HEAT_THRESHOLD * highest, highest)
    display.SetApplyThreshold(True)
    display.SetInterpolate(True)


def heatValues(heatMap: HeatMap) -> np.ndarray:
    """The values of a heat map, float32 or uint8.

    Raises:
        ValueError: the array does not fit its grid or leaves 0..1.
    """
    array = np.asarray(heatMap.array)
    array = array if array.dtype == np.uint8 else array.astype(np.float32, copy=False)
    if array.shape != heatMap.grid.shape or not (array.min() >= 0.0 and array.max() <= heatMap.highest):
        raise ValueError(f"The heat map '{heatMap.name}' must have its grid's shape and values from 0 to 1.")
    return array
