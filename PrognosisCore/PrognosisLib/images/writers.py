"""Writing Volumes to image files, without Slicer."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..volume import Volume


def write_volume(volume: Volume, path: Path, compress: bool = True) -> Path:
    """Write .nii.gz, .nrrd or .mha: whole or not at all.

    Raises:
        InputError: the grid is sheared (gantry tilt), which these formats' ITK writers cannot express.
    """
    import SimpleITK as sitk

    path = Path(path)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.ijk_to_ras
    spacing = volume.grid.spacing
    direction = lps[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise InputError(f"'{volume.name}' has a sheared grid; resample it before writing it to {path.suffix}.")
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    temporary = path.with_name(f".{secrets.token_hex(4)}_{path.name}")
    try:
        sitk.WriteImage(image, str(temporary), useCompression=compress, compressionLevel=1)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
