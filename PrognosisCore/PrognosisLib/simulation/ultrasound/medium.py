"""What the sound runs through: a tissue map with smooth borders, from a simulated patient or from a label map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..anatomy import LABELS, AbdomenParameters, build_anatomy
from ..organs import Patient
from ..shapes import Grid, RandomField, tube
from .tissues import CODES

STEP_MM = 2.0
# The part of the abdomen that a probe over the liver sees, canonical frame (see ../organs.py), mm.
LOW, HIGH = np.array([-100.0, -110.0, -125.0]), np.array([176.0, 150.0, 150.0])
HEPATIC = ("right hepatic", "middle hepatic", "left hepatic")
TWIGS, TAPER = 6, np.array([1.0, 0.75, 0.4])  # small branches of each vein, and how they thin out
FAR = 60.0  # distances beyond this many mm are not told apart
CHANNELS = ("liver", "portal", "veins", "chest", "bone", "layers", "texture")
HARD = [CODES[name] for name in ("outside", "skin", "bone", "gas", "lung")]
NET_MM, MOTTLE_MM = (9.0, 15.0), (4.5, 9.0)
TISSUE_OF = {
    "background": "outside", "spleen": "spleen", "right kidney": "kidney", "left kidney": "kidney",
    "gallbladder": "fluid", "esophagus": "bowel", "liver": "liver", "stomach": "stomach", "aorta": "blood",
    "inferior vena cava": "blood", "portal and splenic vein": "blood", "pancreas": "pancreas", "lung": "lung",
    "bone": "bone", "muscle": "muscle", "fat": "deep fat", "skin": "skin", "bowel": "bowel", "gas": "gas",
    "ascites": "fluid", "heart": "heart", "pleural effusion": "fluid", "vessel": "blood", "bladder": "fluid",
    "table": "outside",
}  # fmt: skip


@dataclass(frozen=True)
class Medium:
    """A tissue map and smooth fields on one grid.

    Args:
        grid: in mm of the anatomy's own frame.
        tissue: uint8 (k, j, i) codes of tissues.CODES.
        fields: float32 (k, j, i, channels) in the order of CHANNELS: distances in mm, negative inside, to liver,
            portal veins, other veins and gallbladder, chest (lung), and bone; depth under the inner side of the
            abdominal wall (positive in the wall); and a random field that texture is made of.

    What the liver's tissue itself does to the sound is not in here but in `formation.LiverState`.
    """

    grid: Grid
    tissue: np.ndarray
    fields: np.ndarray

    def fields_at(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """Fields by name at points (..., 3) in mm, by linear interpolation."""
        ijk = self._places(points)
        _, j, i = self.grid.shape
        first = ijk.astype(np.int32)
        x, y, z = (ijk - first).T[..., None]
        base = (first[:, 2] * j + first[:, 1]) * i + first[:, 0]
        flat = self.fields.reshape(-1, self.fields.shape[-1])
        values = 0
        for dz, wz in ((0, 1 - z), (1, z)):
            for dy, wy in ((0, 1 - y), (1, y)):
                start = base + (dz * j + dy) * i
                row = flat[start] * (1 - x) + flat[start + 1] * x
                values = values + row * (wz * wy)
        shape = points.shape[:-1]
        return {name: values[:, n].reshape(shape) for n, name in enumerate(CHANNELS)}

    def tissue_at(self, points: np.ndarray) -> np.ndarray:
        """Tissue codes at points (..., 3) in mm, of the nearest voxel."""
        near = np.rint(self._places(points)).astype(np.int32)
        _, j, i = self.grid.shape
        return self.tissue.reshape(-1)[(near[:, 2] * j + near[:, 1]) * i + near[:, 0]].reshape(points.shape[:-1])

    def _places(self, points: np.ndarray) -> np.ndarray:
        """Indices (n, 3) as (i, j, k), kept inside the grid."""
        inverse = np.linalg.inv(self.grid.matrix).astype(np.float32)
        ijk = points.reshape(-1, 3) @ inverse[:3, :3].T + inverse[:3, 3]
        k, j, i = self.grid.shape
        return np.clip(ijk, 0, np.array([i, j, k], np.float32) - 1.001)


def texture_field(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Mottle and a net of septa, mean zero and about unit spread, (k, j, i)."""
    walls = np.exp(-((RandomField(rng, NET_MM, 64).on(grid) / np.float32(0.28)) ** 2))
    walls = (walls - walls.mean()) / walls.std()
    return (np.float32(0.75) * walls + np.float32(0.65) * RandomField(rng, MOTTLE_MM, 64).on(grid)).astype(np.float32)


def whole_grid(step_mm: float | None = None) -> Grid:
    """All that a probe over the liver can see, in cubes of `step_mm`, or STEP_MM."""
    step_mm = step_mm or STEP_MM
    matrix = np.diag([step_mm] * 3 + [1.0])
    matrix[:3, 3] = LOW
    return Grid(tuple(int(n) for n in np.ceil((HIGH - LOW) / step_mm)[::-1]), matrix)


def procedural_medium(
    parameters: AbdomenParameters,
    seed: int,
    portal_scale: float = 1.0,
    blunt: float = 0.0,
    grid: Grid | None = None,
    wall_mm: float = 0.0,
    fluid_mm: float = 0.0,
) -> Medium:
    """A simulated patient.

    Args:
        portal_scale: caliber of the portal veins over the usual one.
        blunt: 0 leaves the liver's edges sharp, 1 rounds them off over about 2 cm.
        grid: cubes in the canonical frame, at any angle; None: all that can be seen. A part is made in a fraction of
            the time; see stills.py.
        wall_mm: of the gallbladder; 0 leaves it out. It is drawn as that of a hollow organ.
        fluid_mm: layer of free fluid on the liver, as far as there is fat between it and its neighbors.
    """
    from scipy.ndimage import gaussian_filter

    patient = Patient(parameters, seed)
    grid = grid or whole_grid()
    step_mm = grid.spacing
    anatomy = build_anatomy(patient, grid, step_mm**3 / 1000.0)
    space, tubes = anatomy.space, patient.vessels()
    liver = np.clip(patient.liver(space), -FAR, FAR)
    if blunt > 0:
        rounded = gaussian_filter(liver, 7.0 / step_mm, mode="nearest")
        liver = liver + np.float32(blunt) * np.maximum(rounded - liver, 0)
    portal = _tubes(space.p, tubes, ("portal", "splenic vein", "right portal", "anterior portal", "left portal"))
    portal = portal - np.float32(3.5 * (portal_scale - 1))
    veins = _tubes(space.p, tubes, (*HEPATIC, "vena cava"))
    rng = np.random.default_rng([seed, 51])
    for field, parents in ((portal, ("right portal", "anterior portal", "left portal")), (veins, HEPATIC)):
        for points, radii in _twigs(rng, [tubes[name] for name in parents if name in tubes]):
            _unite(field, space, points, radii)
    bladder = anatomy.labels == LABELS["gallbladder"]
    outside_bladder = signed_distance(bladder, step_mm)
    if bladder.any():
        veins = np.minimum(veins, outside_bladder)
    codes = np.zeros(256, np.uint8)
    codes[[LABELS[name] for name in TISSUE_OF]] = [CODES[name] for name in TISSUE_OF.values()]
    tissue = codes[anatomy.labels]
    tissue[(tissue == CODES["deep fat"]) & (space.cavity > 0)] = CODES["fat"]
    _paint_sinus(tissue, anatomy)
    tissue[~bladder & (outside_bladder < wall_mm) & ~np.isin(tissue, HARD)] = CODES["stomach"]
    tissue[(tissue == CODES["deep fat"]) & (liver > -0.5) & (liver < fluid_mm)] = CODES["fluid"]
    bone = signed_distance(anatomy.labels == LABELS["bone"], step_mm)
    chest = np.maximum(-patient.diaphragm(space), space.cavity + 1)
    fields = np.stack([liver, portal, veins, chest, bone, space.cavity, texture_field(rng, grid)], axis=-1)
    return Medium(grid, tissue, np.clip(fields, -FAR, FAR).astype(np.float32))


def _tubes(p: np.ndarray, tubes: dict, names: tuple[str, ...]) -> np.ndarray:
    """Distance to the nearest of the named tubes."""
    out = None
    for name in names:
        if name in tubes:
            distance = tube(p, *tubes[name])
            out = distance if out is None else np.minimum(out, distance)
    return out


def _twigs(rng: np.random.Generator, parents: list) -> list[tuple[np.ndarray, np.ndarray]]:
    """Small branches that leave the parents (points, radii) at random, each a bent line that thins out."""
    twigs = []
    for points, radii in parents:
        points, radii = np.asarray(points, float), np.asarray(radii, float)
        for _ in range(TWIGS):
            part = int(rng.integers(len(points) - 1))
            share = rng.uniform(0.2, 1.0)
            start = points[part] + share * (points[part + 1] - points[part])
            along = points[part + 1] - points[part]
            direction = along / np.linalg.norm(along) + rng.normal(0, 0.8, 3)
            direction *= rng.uniform(14, 32) / np.linalg.norm(direction)
            bend = direction + rng.normal(0, 7, 3)
            radius = float(np.interp(share, (0, 1), radii[part : part + 2])) * rng.uniform(0.35, 0.6)
            twigs.append((np.array([start, start + direction, start + direction + bend]), radius * TAPER))
    return twigs


def _unite(field: np.ndarray, space, points: np.ndarray, radii: np.ndarray) -> None:
    """Adds a tube to a distance field in place, as far around it as it matters."""
    slices = space.grid.box(points.min(axis=0), points.max(axis=0), 16.0)
    if slices is not None:
        near = space.crop(slices)
        field[slices] = np.minimum(field[slices], tube(near.p, points, radii))


def _paint_sinus(tissue: np.ndarray, anatomy) -> None:
    """The bright fat inside the kidneys."""
    for side in (1, -1):
        kidney, sinus = anatomy.patient.kidney(anatomy.space, side)
        tissue[(sinus < 0) & (kidney < 30)] = CODES["renal sinus"]


def signed_distance(inside: np.ndarray, step_mm: float | tuple[float, float, float]) -> np.ndarray:
    """Distance in mm to the border of a mask (k, j, i), negative inside, smooth enough to interpolate."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    if not inside.any():
        return np.full(inside.shape, FAR, np.float32)
    out = distance_transform_edt(~inside, step_mm) - distance_transform_edt(inside, step_mm)
    return gaussian_filter(np.clip(out, -FAR, FAR).astype(np.float32), 0.8)


AIR_HU = -125  # where BTCV's values are cut off
RIM = 2  # voxels of air that are put around the image
WALL_MM = 35.0  # of a real anatomy's abdominal wall, at most
# Labels of the BTCV set (Synapse syn3193805) as tissues.
BTCV_TISSUES = {
    1: "spleen", 2: "kidney", 3: "kidney", 4: "fluid", 5: "bowel", 6: "liver", 7: "stomach", 8: "blood", 9: "blood",
    10: "blood", 11: "pancreas", 12: "deep fat", 13: "deep fat",
}  # fmt: skip
HOLLOW = (5, 7)  # of these labels, those that may hold gas


def medium_from_ct(ct: np.ndarray, labels: np.ndarray, matrix: np.ndarray, seed: int) -> Medium:
    """A real anatomy: tissues from HU where no organ is labeled.

    The grid gets a rim of air in the plane, so that a body that touches the image's sides ends there, too.

    Args:
        ct: HU (k, j, i), k along the body; clipped values will do.
        labels: of BTCV_TISSUES.
        matrix: 4x4, from (i, j, k, 1) to mm; the frame may be any in which the probe is placed, too.
        seed: of the texture.
    """
    rim = ((0, 0), (RIM, RIM), (RIM, RIM))
    outside, lung, gas = (np.pad(one, rim) for one in _air(ct, labels))
    ct, labels = np.pad(ct, rim, constant_values=AIR_HU), np.pad(labels, rim)
    outside[:, :RIM] = outside[:, -RIM:] = outside[:, :, :RIM] = outside[:, :, -RIM:] = True
    matrix = matrix.astype(float)
    matrix[:3, 3] -= RIM * (matrix[:3, 0] + matrix[:3, 1])
    grid, step = Grid(ct.shape, matrix), tuple(np.linalg.norm(matrix[:3, :3], axis=0)[::-1])
    tissue = np.full(ct.shape, CODES["deep fat"], np.uint8)
    tissue[ct > -20] = CODES["muscle"]
    tissue[ct > 180] = CODES["bone"]
    for label, name in BTCV_TISSUES.items():
        tissue[labels == label] = CODES[name]
    for name, where in (("outside", outside), ("lung", lung), ("gas", gas)):
        tissue[where] = CODES[name]
    # the wall ends in front of the first organ
    organs = signed_distance((labels > 0) | lung | gas, step)
    wall = np.minimum(WALL_MM - signed_distance(outside, step), organs - 1)
    tissue[(tissue == CODES["deep fat"]) & (wall > 0)] = CODES["fat"]
    fields = np.stack(
        [
            signed_distance(labels == 6, step),
            signed_distance(labels == 10, step),
            signed_distance(np.isin(labels, (4, 9)), step),
            signed_distance(lung, step),
            signed_distance(tissue == CODES["bone"], step),
            wall,
            texture_field(np.random.default_rng([seed, 51]), grid),
        ],
        axis=-1,
    )
    return Medium(grid, tissue, np.clip(fields, -FAR, FAR).astype(np.float32))


def _air(ct: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Air around the body, lung, and gas in the bowel: bool (k, j, i) each.

    Single dark voxels are noise in fat. Air with tissue on both sides of most of it is inside, also where the image's
    side cuts it; lung is what reaches the end of the scan that has more of it.
    """
    from scipy.ndimage import binary_dilation, label, mean, uniform_filter

    dark = uniform_filter(np.maximum(ct, AIR_HU).astype(np.float32), 3) < AIR_HU + 2
    air = binary_dilation(dark, np.ones((3, 3, 3), bool)) & (ct < AIR_HU + 10) & np.isin(labels, (0, *HOLLOW))
    regions, count = label(air)
    pieces, _ = label(~air)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    body = pieces == sizes.argmax()  # without the table
    inside = np.concatenate([[False], mean(_between(body, 1) | _between(body, 2), regions, range(1, count + 1)) > 0.5])
    inner = inside[regions]
    end = max((0, -1), key=lambda one: np.count_nonzero(inner[one]))
    is_lung = np.zeros(count + 1, bool)
    is_lung[np.unique(regions[end])] = True
    lung = inner & is_lung[regions]
    return air & ~inner, lung, inner & ~lung


def _between(body: np.ndarray, axis: int) -> np.ndarray:
    """Where there is body on both sides along an axis."""
    before = np.logical_or.accumulate(body, axis=axis)
    after = np.flip(np.logical_or.accumulate(np.flip(body, axis), axis=axis), axis)
    return before & after
