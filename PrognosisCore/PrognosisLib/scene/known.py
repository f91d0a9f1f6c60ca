"""What the network knew about a mask and its image, kept as tags of the segment."""

from __future__ import annotations

import base64
import zlib

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
KNOWN_TAGS = (CHECKSUM_TAG, LOWER_TAG, UPPER_TAG, CONFIDENCE_TAG, EVIDENCE_TAG)


def ofVoxels(segment, inside: np.ndarray, start: np.ndarray) -> dict:
    """Volume interval and confidence, if the segment still has the voxels that they were written for.

    Compared on its own lattice: a volume may come back from a file with its slices in the other order.
    """
    if tagOf(segment, CHECKSUM_TAG) != checksum(inside, start):
        return {}
    lower, upper, confidence = (tagOf(segment, name) for name in (LOWER_TAG, UPPER_TAG, CONFIDENCE_TAG))
    return {
        "volume_ml": Interval(float(lower), float(upper)) if lower and upper else None,
        "confidence": float(confidence) if confidence else None,
    }


def evidenceOf(segment) -> str:
    """The mask's evidence as it was written; empty where there is none or it was damaged outside."""
    try:
        return zlib.decompress(base64.b64decode(tagOf(segment, EVIDENCE_TAG))).decode()
    except (ValueError, zlib.error):
        return ""


def setKnown(segment, mask: Mask) -> None:
    """Replaces all that was known about a segment by what the mask says."""
    interval = mask.volume_ml
    setTag(segment, CHECKSUM_TAG, checksum(None if mask.is_empty else mask.array, np.array(mask.start)))
    setTag(segment, LOWER_TAG, repr(float(interval.lower)) if interval else "")
    setTag(segment, UPPER_TAG, repr(float(interval.upper)) if interval else "")
    setTag(segment, CONFIDENCE_TAG, "" if mask.confidence is None else repr(float(mask.confidence)))
    # A .seg.nrrd parts its tags by bars and lines, which a text may hold.
    packed = base64.b64encode(zlib.compress(mask.evidence.encode(), 9)).decode() if mask.evidence else ""
    setTag(segment, EVIDENCE_TAG, packed)


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
