"""Reading images from disk into Volumes, without Slicer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk


def ijk_to_ras_of(image: sitk.Image) -> np.ndarray:
    """IJK-to-RAS of a SimpleITK image, whose own physical space is LPS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def read_volume(path: Path, modality: str = "CT") -> Volume:
    """One image file as a Volume."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    return Volume(sitk.GetArrayFromImage(image), ijk_to_ras_of(image), modality, Path(path).name)
