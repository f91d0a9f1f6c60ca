"""What the network knew about a mask and its image, kept as texts beside the segment: tags of it, where it has some."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping

import numpy as np
import vtk

from ..findings import Interval, Mask
from ..volume import Grid

# About the voxels: true only while the checksum fits them.
CHECKSUM_TAG = "Prognosis.checksum"
LOWER_TAG = "Prognosis.volume_lower_ml"
UPPER_TAG = "Prognosis.volume_upper_ml"
CONFIDENCE_TAG = "Prognosis.confidence"
# About the image: true whatever is edited.
EVIDENCE_TAG = "Prognosis.evidence"
LATTICE_TAG = "Prognosis.lattice"
SAME_MM = 1e-9
KNOWN_TAGS = (CHECKSUM_TAG, LOWER_TAG, UPPER_TAG, CONFIDENCE_TAG, EVIDENCE_TAG, LATTICE_TAG)


def ofVoxels(tags: Mapping[str, str], found: str) -> dict:
    """Volume interval and confidence, if the checksum found is still that of the voxels that they were written for."""
    if tags.get(CHECKSUM_TAG) != found:
        return {}
    lower, upper, confidence = (tags.get(name) for name in (LOWER_TAG, UPPER_TAG, CONFIDENCE_TAG))
    return {
        "volume_ml": Interval(float(lower), float(upper)) if lower and upper else None,
        "confidence": float(confidence) if confidence else None,
    }


def evidenceOf(tags: Mapping[str, str]) -> str:
    """The mask's evidence as it was written; empty where there is none or it was damaged outside."""
    try:
        return zlib.decompress(base64.b64decode(tags.get(EVIDENCE_TAG, ""))).decode()
    except (ValueError, zlib.error):
        return ""


def latticeOf(text: str, grid: Grid) -> Grid | None:
    """The lattice that `latticeText` wrote, on an image that is now on `grid`; None where there is none."""
    try:
        numbers = np.array([float(word) for word in text.split()])
        shape = tuple(int(number) for number in numbers[:3])
        own, former = (np.vstack([part.reshape(3, 4), (0, 0, 0, 1)]) for part in np.split(numbers[3:], 2))
    except ValueError:
        return None
    # Files change the last digit.
    isSame = np.abs(former - grid.ijk_to_ras).max() < SAME_MM
    return Grid(shape, own if isSame else grid.ijk_to_ras @ np.linalg.inv(former) @ own)


def latticeText(lattice: Grid, grid: Grid) -> str:
    """A lattice and that of the image it belongs to, exactly; empty where they are one."""
    if lattice.shape == grid.shape and np.array_equal(lattice.ijk_to_ras, grid.ijk_to_ras):
        return ""
    matrices = np.concatenate([lattice.ijk_to_ras[:3].ravel(), grid.ijk_to_ras[:3].ravel()])
    return " ".join([*map(str, lattice.shape), *(repr(float(number)) for number in matrices)])


def describe(mask: Mask, grid: Grid) -> dict[str, str]:
    """All that is known about a tight mask, by tag; `grid` is the lattice of the image. Empty where nothing is."""
    interval = mask.volume_ml
    # A .seg.nrrd parts its tags by bars and lines, which a text may hold.
    packed = base64.b64encode(zlib.compress(mask.evidence.encode(), 9)).decode() if mask.evidence else ""
    return {
        CHECKSUM_TAG: str(mask.checksum),
        LOWER_TAG: repr(float(interval.lower)) if interval else "",
        UPPER_TAG: repr(float(interval.upper)) if interval else "",
        CONFIDENCE_TAG: "" if mask.confidence is None else repr(float(mask.confidence)),
        EVIDENCE_TAG: packed,
        LATTICE_TAG: latticeText(mask.grid, grid),
    }


def tagsOf(segment) -> dict[str, str]:
    """What is known about a segment, by tag."""
    return {name: tagOf(segment, name) for name in KNOWN_TAGS}


def setKnown(segment, mask: Mask, grid: Grid) -> None:
    """Replaces all that was known about a segment by what the mask says."""
    for name, value in describe(mask, grid).items():
        setTag(segment, name, value)


def checksum(inside: np.ndarray | None, start: np.ndarray) -> str:
    """As `Mask.checksum` of a mask with a tight box; None stands for no voxel."""
    if inside is None:
        inside, start = np.zeros((0, 0, 0), dtype=bool), np.zeros(3, dtype=int)
    return str(Mask("", inside, tuple(int(n) for n in start), Grid((1, 1, 1), np.eye(4))).checksum)


def tagOf(segment, name: str) -> str:
    """The value of a tag; empty where there is none."""
    value = vtk.mutable("")
    return str(value) if segment.GetTag(name, value) else ""


def setTag(segment, name: str, value: str) -> None:
    """Sets a tag; an empty value removes it."""
    if value:
        segment.SetTag(name, value)
    else:
        segment.RemoveTag(name)
