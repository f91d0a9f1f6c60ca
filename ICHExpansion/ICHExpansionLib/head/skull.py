"""The skull of a head CT as samples that can be laid on another skull: image pyramid, sample points, surfaces.

Everything is on RAS-aligned lattices of even spacing, whatever the lattice of the scan was (flipped, oblique, sheared
by gantry tilt), and knows which part of the patient the scan covers. Window-clipped scans (0 to 80 HU) are served too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.volume import AIR_HU, Grid, Volume, bin_shrink, ras_grid, resample

SPACING = 2.0  # mm, lattice of the fine level
BONE_FLOOR, BONE_CEILING, BONE = 100.0, 700.0, 300.0  # HU: ramp of the metric image, threshold of the mask
MIN_CEILING = 75.0  # HU: a scan with nothing brighter holds no bone
MIN_SKULL_ML = 60.0  # a third of the thinnest adult skull cap seen; less cannot fix a rotation
SAMPLES = (12000, 5000, 1500)  # points per level, fine to coarse: more changed no result by 0.05 mm
FIELD_MARGIN = 3.0  # mm from the border of a scan within which its surfaces are not compared


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Args:
        channels: (k, j, i, 4) float32: smoothed bone 0..1 and its derivatives per mm along R, A, S.
        origin: RAS mm of voxel 0.
        spacing: mm.
        points: sample points (n, 3) RAS mm in and around the bone; values: smoothed bone there (n,).
    """

    channels: np.ndarray
    origin: np.ndarray
    spacing: float
    points: np.ndarray
    values: np.ndarray

    def sample(self, points: np.ndarray) -> np.ndarray:
        """All channels at RAS points (n, 3), trilinear, (n, 4); points outside take the nearest border."""
        shape = np.array(self.channels.shape[2::-1])
        place = np.clip((points - self.origin) / self.spacing, 0, shape - 1.001)
        low = place.astype(np.int64)
        i, j, k = (place - low).astype(np.float32).T[..., None]
        flat = self.channels.reshape(-1, 4)
        row, plane = int(shape[0]), int(shape[0] * shape[1])
        at = low[:, 0] + row * low[:, 1] + plane * low[:, 2]
        faces = []
        for step in (0, plane):
            near = flat[at + step] * (1 - i) + flat[at + step + 1] * i
            far = flat[at + step + row] * (1 - i) + flat[at + step + row + 1] * i
            faces.append(near * (1 - j) + far * j)
        return faces[0] * (1 - k) + faces[1] * k


@dataclass(frozen=True)
class Skull:
    """A skull and the scan's own lattice, which says what the scan covers.

    Args:
        levels: fine to coarse.
        hu: (k, j, i) float32 on `grid`, a RAS-aligned lattice of SPACING mm.
        bone: (k, j, i) bool, the parts of the skull.
        center: RAS mm, of the head (not of the bone, which a cut through the face would move more).
        scan: lattice of the scan itself.
        edge: HU half way up the ramp from soft tissue to bone.
    """

    levels: tuple[Level, ...]
    hu: np.ndarray
    bone: np.ndarray
    grid: Grid
    center: np.ndarray
    scan: Grid
    edge: float

    @property
    def coarsest_mm(self) -> float:
        """Largest distance of neighboring planes of the scan's lattice: the slice distance, whatever axis it is on."""
        return float((1 / np.linalg.norm(np.linalg.inv(self.scan.ijk_to_ras)[:3, :3], axis=1)).max())

    def covers(self, points: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Which RAS points (n, 3) lie inside the scanned field, at least `margin` mm from its border; bool (n,)."""
        inverse = np.linalg.inv(self.scan.ijk_to_ras)
        # Perpendicular distance of the lattice planes: the spacing is longer where the lattice is sheared.
        inset = margin * np.linalg.norm(inverse[:3, :3], axis=1)
        ijk = points @ inverse[:3, :3].T + inverse[:3, 3]
        size = np.array(self.scan.shape[::-1])
        return np.all((ijk >= inset - 0.5) & (ijk <= size - 0.5 - inset), axis=1)

    def surfaces(self) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, 3) RAS mm of all bright surfaces, to a fraction of a voxel, and which belong to the skull (n,).

        The skull's own are to be looked for among all of another scan: a jaw may be parted from the skull in one only.
        """
        points, own = [], []
        for axis in range(3):
            low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
            high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
            flat = np.flatnonzero((self.hu[low] > self.edge) != (self.hu[high] > self.edge))
            kji = np.stack(np.unravel_index(flat, self.hu[low].shape), axis=1)
            first, second = self.hu[low].ravel()[flat] - self.edge, self.hu[high].ravel()[flat] - self.edge
            own.append((self.bone[low] | self.bone[high]).ravel()[flat])
            place = kji.astype(float)
            place[:, axis] += first / (first - second)
            points.append(self.grid.to_ras(place))
        points, own = np.concatenate(points), np.concatenate(own)
        return points, own & self.covers(points, FIELD_MARGIN)

    def enclosed(self) -> np.ndarray:
        """Soft tissue (bool) that has bone on its left, right, front and back: mostly brain."""
        inside = ~self.bone & (self.hu > 0) & (self.hu < MIN_CEILING)
        for axis in (1, 2):
            for step in (1, -1):
                view = (slice(None),) * axis + (slice(None, None, step),)
                inside[view] &= np.logical_or.accumulate(self.bone[view], axis=axis)
        return inside


def common_window(*volumes: Volume) -> tuple[float, float]:
    """HU range that all scans hold: -1024 to 700 (saturated bone), or what a burnt-in display window left of it."""
    low = max(float(volume.array.min(initial=0)) for volume in volumes)
    high = min(float(volume.array.max(initial=AIR_HU)) for volume in volumes)
    return max(AIR_HU, min(0.0, low)), min(BONE_CEILING, high)


def find_skull(volume: Volume, window: tuple[float, float] = (AIR_HU, BONE_CEILING)) -> Skull | None:
    """The skull of a head CT; None where there is none.

    Args:
        volume: HU, any lattice.
        window: HU range to look at, the same for two scans that are to be compared (`common_window`).
    """
    lowest, ceiling = window
    if ceiling < MIN_CEILING:
        return None
    # Clipped before any averaging, as a burnt-in window was: else bone would be thicker in the scan without one.
    volume = volume.with_array(np.clip(volume.array, *window))
    shrunk = bin_shrink(volume, SPACING)
    grid = ras_grid(volume.grid.corners_ras(), SPACING, multiple=4)
    hu = resample(shrunk.array, shrunk.ijk_to_ras, grid, AIR_HU)
    field = resample(np.ones(shrunk.array.shape, np.uint8), shrunk.ijk_to_ras, grid, 0, nearest=True)
    head, center = _head(hu, grid, lowest)
    if head is None:
        return None
    bone = _largest_parts((hu >= min(BONE, 0.94 * ceiling)) & head)
    if np.count_nonzero(bone) * grid.voxel_volume_ml < MIN_SKULL_ML:
        return None
    floor = min(BONE_FLOOR, 0.8 * ceiling)
    image = np.clip((hu - floor) / (ceiling - floor), 0, 1) * _dilated(bone, 1)
    levels = _pyramid(image, field.astype(np.float32), bone, grid)
    return Skull(levels, hu, bone, grid, center, volume.grid, (floor + ceiling) / 2)


def _head(hu: np.ndarray, grid: Grid, lowest: float) -> tuple[np.ndarray | None, np.ndarray]:
    """Where the head is (bool, on the lattice of `hu`) without its holder, and its center in RAS mm."""
    from scipy import ndimage

    # Fat and skin are lost where everything below 0 HU was clipped; muscle, brain and bone are enough.
    tissue = hu[::2, ::2, ::2] > max(-300.0, lowest + 10.0)
    # Opening parts the head from shells of some 10 mm: holder, pillow, blanket.
    core = ndimage.binary_erosion(tissue, iterations=1)
    labels, count = ndimage.label(core)
    if count == 0:
        return None, np.zeros(3)
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    head = _dilated(largest, 2) & tissue
    center = grid.to_ras(2.0 * np.argwhere(head).mean(axis=0)[None])[0]
    full = head.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    return full, center


def _dilated(mask: np.ndarray, iterations: int) -> np.ndarray:
    from scipy import ndimage

    return ndimage.binary_dilation(mask, iterations=iterations)


def _largest_parts(bone: np.ndarray) -> np.ndarray:
    """Parts of at least a tenth of the largest: a flap or an arch stays, a dense clot inside the brain does not."""
    from scipy import ndimage

    labels, count = ndimage.label(bone)
    if count == 0:
        return bone
    sizes = np.bincount(labels.ravel())
    keep = sizes >= 0.1 * sizes[1:].max()
    keep[0] = False
    return keep[labels]


def _pyramid(image: np.ndarray, field: np.ndarray, bone: np.ndarray, grid: Grid) -> tuple[Level, ...]:
    """Levels of 2, 4 and 8 mm; smoothing ignores what was not scanned, so that a cut skull has no false edge."""
    from scipy import ndimage

    levels, spacing, origin = [], SPACING, grid.ijk_to_ras[:3, 3]
    weighted = image.astype(np.float32) * field
    for samples in SAMPLES:
        weighted = ndimage.gaussian_filter(weighted, 0.8, mode="constant", truncate=3.0)
        field = ndimage.gaussian_filter(field, 0.8, mode="constant", truncate=3.0)
        smooth = weighted / np.maximum(field, 0.05)
        slopes = np.gradient(smooth, spacing)
        channels = np.stack([smooth, slopes[2], slopes[1], slopes[0]], axis=-1).astype(np.float32)
        kji = thinned_kji(_dilated(bone, 2) & (field > 0.5), samples)
        points = kji[:, ::-1] * spacing + origin
        levels.append(Level(channels, origin, spacing, points, smooth[tuple(kji.T)]))
        weighted, field = weighted[::2, ::2, ::2], field[::2, ::2, ::2]
        bone = _pooled(bone)
        spacing *= 2
    return tuple(levels)


def _pooled(mask: np.ndarray) -> np.ndarray:
    """Half the resolution: every second voxel, set where it or any neighbor after it is."""
    k, j, i = (n // 2 for n in mask.shape)
    return mask[: 2 * k, : 2 * j, : 2 * i].reshape(k, 2, j, 2, i, 2).any(axis=(1, 3, 5))


def thinned_kji(mask: np.ndarray, count: int) -> np.ndarray:
    """At most `count` voxels (n, 3) of a mask, drawn with a fixed seed: a regular step would line up with the rows."""
    flat = np.flatnonzero(mask)
    if len(flat) > count:
        flat = np.sort(np.random.default_rng(0).choice(flat, count, replace=False))
    return np.stack(np.unravel_index(flat, mask.shape), axis=1)
