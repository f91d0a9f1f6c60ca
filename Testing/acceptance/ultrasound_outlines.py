"""Real B-mode frames with a liver outline (`liver-us/rus` in ../shared/data), for measuring only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.reading import read_cine

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LIVER_RGB = (100, 0, 100)
SMALLEST_SHARE = 0.01  # of the frame: less is a rim that the outline's drawer left over


def outlined_frames() -> Iterator[tuple[str, Cine, np.ndarray]]:
    """(subject, cine of one frame, liver (j, i) bool) of every frame whose outlines have a liver.

    Outlines may be of another size than their frame and are brought to it; some stand on a ground that is not black.
    """
    import SimpleITK as sitk

    folder = DATA / "liver-us" / "rus"
    for file in sorted((folder / "masks").glob("*.png")):
        cine = read_cine(folder / "images" / f"{file.stem}.jpg")
        colors = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[..., :3].astype(int)
        liver = np.abs(colors - LIVER_RGB).max(axis=-1) < 40
        rows, columns = cine.frame_shape
        j = (np.arange(rows) * liver.shape[0] / rows).astype(int)
        i = (np.arange(columns) * liver.shape[1] / columns).astype(int)
        liver = liver[np.ix_(j, i)]
        if SMALLEST_SHARE < liver.mean() < 0.6:
            yield file.stem.rstrip("0123456789"), cine, liver
