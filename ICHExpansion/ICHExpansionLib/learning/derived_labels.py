"""Labels of real head CT for training: the hematoma that an edema rim encloses, and colored masks of single slices.

Two public sets are read, neither of which is part of this project (see docs/training.md for their terms):

- PHE-SICH-CT-IDS: 8-bit CT windowed to [0, 80] HU with masks of the perihematomal edema. The hematoma is derived: the
  bright region that the edema rim encloses. Bright places that may be blood but that no rim explains are ignored.
- BHSD single slices: gray is HU clipped to [0, 255], masks are colors; parenchymal, intraventricular and extra-axial
  blood are told apart.

`python -m ICHExpansionLib.learning.derived_labels PHE_FOLDER BHSD_FOLDER OUTPUT` writes images in HU, label maps and
cohort.csv.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy import ndimage, spatial

from PrognosisLib.cohort import write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.images.readers import read_volume
from PrognosisLib.images.writers import write_volume
from PrognosisLib.volume import Volume

from ..labels import BACKGROUND, EDEMA, EXTRA_AXIAL, HEMATOMA, IGNORE, VENTRICULAR

# Left out after every derived label was looked at: 24 was operated on, 32 holds next to no blood, 39, 45 and 48 have a
# clot that cannot be told from the ventricle or from the edema.
DOUBTFUL = ("0024", "0032", "0039", "0045", "0048")
WINDOW_HU = 80.0
BONE_HU = 79.0
# Parenchyma below and clotted blood above; refined for every case between its own edema and its own clot.
BLOOD_HU = (42.0, 52.0)
TOUCH_PIXELS = 4  # a clot lies at most this far from its rim or inside the rim's hull
REACH_PIXELS = 60  # how far the clot may reach beyond a partial rim; what lies farther is ignored
SMALLEST_VOXELS = 40
NEAR_SLICES = 2  # slices beyond the last rim into which the clot is followed
BHSD_COLORS = {
    (0, 0, 255): HEMATOMA,
    (255, 255, 0): VENTRICULAR,
    (255, 0, 0): EXTRA_AXIAL,
    (0, 255, 255): EXTRA_AXIAL,
    (0, 255, 0): EXTRA_AXIAL,
}
BHSD_PIXEL_MM = 0.45  # not known; a head is about 200 mm long in these pictures


def derive_hematoma(hu: np.ndarray, edema: np.ndarray) -> np.ndarray:
    """Label map (k, j, i) uint8 of a windowed head CT with its edema rim.

    Args:
        hu: (k, j, i) in HU, clipped to [0, 80]; k goes up or down, slices are axial.
        edema: bool (k, j, i), the rim; may be partial.

    Raises:
        InputError: no rim, or no bright region inside it.
    """
    edema = _without_specks(edema)
    if not edema.any():
        raise InputError("The case has no edema mask that lies in the brain; leave it out.")
    smooth = ndimage.gaussian_filter(hu, (0, 0.8, 0.8))
    skull = ndimage.binary_dilation(hu >= BONE_HU, iterations=1) & _large_bone(hu)
    hull = np.stack([_hull(plane) if plane.any() else plane for plane in edema])
    inside = ndimage.binary_dilation(hull, np.ones((1, 3, 3), bool), iterations=TOUCH_PIXELS) & ~edema
    core = smooth[inside & (smooth > BLOOD_HU[0]) & ~skull]
    if core.size < SMALLEST_VOXELS:
        raise InputError("Nothing bright lies inside the edema rim; leave the case out.")
    tissue = float(np.median(smooth[edema]))
    clot = float(np.percentile(core, 75))
    level = float(np.clip(0.5 * (max(tissue, 26.0) + clot), *BLOOD_HU))
    bright = (smooth > level) & ~skull
    near = ndimage.binary_dilation(hull, np.ones((1, 3, 3), bool), iterations=REACH_PIXELS)
    blood = _grow(bright, near, inside)
    if np.count_nonzero(blood) < SMALLEST_VOXELS:
        raise InputError("Nothing bright lies inside the edema rim; leave the case out.")
    labels = np.zeros(hu.shape, np.uint8)
    doubt = _doubtful(bright, blood, hu, skull)
    labels[doubt] = IGNORE
    labels[edema] = EDEMA
    labels[blood] = HEMATOMA
    missing = _rimless(blood, edema)
    labels[missing & (labels == BACKGROUND)] = IGNORE
    return labels


def _without_specks(edema: np.ndarray) -> np.ndarray:
    """The rim without components of a few pixels or far from the largest one (slips of the annotators)."""
    labels, count = ndimage.label(edema, np.ones((3, 3, 3)))
    if not count:
        return edema
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    main = labels == int(sizes.argmax())
    reach = ndimage.binary_dilation(main, np.ones((3, 3, 3), bool), iterations=12)
    keep = {int(n) for n in np.unique(labels[reach & edema]) if n}
    return np.isin(labels, [n for n in keep if sizes[n] >= 6])


def _large_bone(hu: np.ndarray) -> np.ndarray:
    labels, _count = ndimage.label(ndimage.binary_dilation(hu >= BONE_HU, iterations=1))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes > 2000)[labels]


def _hull(plane: np.ndarray) -> np.ndarray:
    """The convex hull of a plane's pixels, filled."""
    points = np.argwhere(plane)
    if len(points) < 3 or np.ptp(points, axis=0).min() == 0:
        return plane
    faces = spatial.ConvexHull(points).equations
    low, high = points.min(axis=0), points.max(axis=0) + 1
    rows, columns = np.mgrid[low[0] : high[0], low[1] : high[1]]
    inside = np.all(
        faces[:, :1, None] * rows[None] + faces[:, 1:2, None] * columns[None] + faces[:, 2:, None] <= 1e-6, axis=0
    )
    filled = plane.copy()
    filled[low[0] : high[0], low[1] : high[1]] |= inside
    return filled


def _grow(bright: np.ndarray, near: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Bright voxels near the hulls that hang together with bright voxels inside a rim, followed to the next slices."""
    allowed = bright & near
    blood = _connected(allowed, bright & inside)
    rims = np.flatnonzero(near.any(axis=(1, 2)))
    for step in (-1, 1):
        last = rims[-1] if step > 0 else rims[0]
        for k in range(last + step, last + step * (NEAR_SLICES + 1), step):
            if not 0 <= k < len(bright):
                break
            before = ndimage.binary_dilation(blood[k - step], iterations=1)
            blood[k] = bright[k] & before
            if np.count_nonzero(blood[k]) < 12:
                blood[k] = False
                break
    blood = np.stack([ndimage.binary_opening(plane) if plane.any() else plane for plane in blood])
    return np.stack([_fill_small(plane) if plane.any() else plane for plane in blood])


def _connected(allowed: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    labels, _count = ndimage.label(allowed)
    found = np.bincount(labels[seeds & allowed], minlength=2)
    found[0] = 0
    keep = np.flatnonzero(found >= max(4, 0.02 * found.max()))
    return np.isin(labels, keep)


def _fill_small(plane: np.ndarray) -> np.ndarray:
    """Holes belong to the clot: swirls and black holes are part of its volume."""
    return ndimage.binary_fill_holes(ndimage.binary_closing(plane))


def _doubtful(bright: np.ndarray, blood: np.ndarray, hu: np.ndarray, skull: np.ndarray) -> np.ndarray:
    """Bright places that are no labeled clot but may be blood (in a ventricle, or a clot that nobody outlined)."""
    head = ndimage.binary_erosion(_head(hu), np.ones((1, 3, 3), bool), iterations=9)
    rest = bright & head & ~blood & ~ndimage.binary_dilation(skull, np.ones((1, 3, 3), bool), iterations=3)
    labels, _count = ndimage.label(rest)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large = (sizes >= 25)[labels]
    touching = ndimage.binary_dilation(blood, np.ones((1, 3, 3), bool), iterations=2) & rest
    return ndimage.binary_dilation(large | touching, np.ones((1, 3, 3), bool), iterations=2) & ~blood


def _head(hu: np.ndarray) -> np.ndarray:
    return np.stack([ndimage.binary_fill_holes(plane >= 10) for plane in hu])


def _rimless(blood: np.ndarray, edema: np.ndarray) -> np.ndarray:
    """Where a clot has no rim in its slice: whether there is edema is not known there."""
    out = np.zeros_like(blood)
    for k in np.flatnonzero(blood.any(axis=(1, 2)) & ~edema.any(axis=(1, 2))):
        out[k] = ndimage.binary_dilation(blood[k], iterations=10)
    return out


def bhsd_labels(mask: np.ndarray) -> np.ndarray:
    """Label map (j, i) uint8 of a colored mask (j, i, 3); pixels of no listed color are ignored."""
    labels = np.full(mask.shape[:2], IGNORE, np.uint8)
    labels[(mask == 0).all(axis=2)] = BACKGROUND
    for color, label in BHSD_COLORS.items():
        labels[(mask == color).all(axis=2)] = label
    return labels


def phe_case(folder: Path, number: str) -> tuple[Volume, Volume]:
    """Image in HU (clipped to [0, 80]) and derived labels of one case of PHE-SICH-CT-IDS.

    Raises:
        InputError: as `derive_hematoma`.
    """
    image = read_volume(folder / f"phe_{number}_ct8bit.nii.gz", "CT")
    edema = read_volume(folder / f"phe_{number}_oedema.nii.gz", "labels")
    hu = image.array.astype(np.float32) * np.float32(WINDOW_HU / 255.0)
    # The reader may have turned the slices; derive_hematoma only needs axial planes along k.
    return image.with_array(hu), image.with_array(derive_hematoma(hu, edema.array > 0))


def bhsd_case(folder: Path, name: str) -> tuple[Volume, Volume]:
    """One slice of BHSD as a volume of one slice: image in HU and labels; i to the right, j anterior."""
    import SimpleITK as sitk

    gray = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "images" / name)))
    gray = gray[..., 0] if gray.ndim == 3 else gray
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "masks" / name)))[..., :3]
    matrix = np.diag([-BHSD_PIXEL_MM, -BHSD_PIXEL_MM, 5.0, 1.0])
    matrix[:2, 3] = BHSD_PIXEL_MM * (np.array(gray.shape[::-1]) - 1) / 2.0
    return (
        Volume(gray.astype(np.float32)[None], matrix, "CT", name),
        Volume(bhsd_labels(mask)[None], matrix, "labels", name),
    )


def write_real_cohort(phe: Path, bhsd: Path, output: Path) -> Path:
    """Images in HU and label maps of both sets, without the doubtful cases; returns the cohort file."""
    rows = []
    for path in sorted(Path(phe).glob("phe_*_ct8bit.nii.gz")):
        number = path.name.split("_")[1]
        if number in DOUBTFUL:
            continue
        rows.append(_write(output, f"phe_{number}", f"phe_{number}", *phe_case(Path(phe), number)))
    for path in sorted((Path(bhsd) / "images").glob("*.png")):
        # The first five digits are 1 and the case: slices of one patient stay on one side of a split.
        rows.append(_write(output, f"bhsd_{path.stem}", f"bhsd_{path.stem[1:3]}", *bhsd_case(Path(bhsd), path.name)))
    return write_rows(output / "cohort.csv", rows)


def _write(output: Path, name: str, patient: str, image: Volume, labels: Volume) -> dict[str, str]:
    folder = output / name
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(image, folder / "ct.nii.gz")
    write_volume(labels, folder / "labels.nii.gz")
    return {"case": name, "patient": patient, "ct": f"{name}/ct.nii.gz", "labels": f"{name}/labels.nii.gz"}


if __name__ == "__main__":
    print(write_real_cohort(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
