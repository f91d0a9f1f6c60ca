"""A simulated intracerebral hemorrhage: shape, content, edema, blood in the ventricles, and extra-axial bleeds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from PrognosisLib.simulation.shapes import Grid, RandomField, coverage, ellipsoid, rotation

from .head import RADII, Canvas, floor_of_skull, tentorium_height

LOCATIONS = ("putamen", "thalamus", "lobar", "cerebellum", "brainstem")
LOCATION_SHARES = (0.42, 0.22, 0.24, 0.08, 0.04)
LARGEST_ML = {"putamen": 110.0, "thalamus": 40.0, "lobar": 120.0, "cerebellum": 35.0, "brainstem": 10.0}
EXTRA_AXIAL = ("subdural", "epidural", "subarachnoid")


@dataclass(frozen=True)
class BleedParameters:
    """One hemorrhage in the anatomy's frame (mm, RAS).

    Args:
        center: of the main clot.
        volume_ml: of the whole parenchymal clot, islands included.
        irregularity: 0 (ellipsoid) to 1: amplitude of lobes.
        buds, islands: small clots on the surface, and apart from it.
        hu: mean density of the clot, before its content.
        heterogeneity: standard deviation of the density inside, HU.
        black_hole: depth in HU of a round hypodense region inside, 0 for none.
        swirl: depth in HU of bands of unclotted blood, 0 for none.
        fluid_level: step in HU between the upper and the lower layer, 0 for none.
        ventricular: share of the ventricles that blood fills.
        edema_mm: mean thickness of the rim.
        extra_axial: "" or one of EXTRA_AXIAL, with thickness in mm.
    """

    location: str
    center: tuple[float, float, float]
    volume_ml: float
    irregularity: float = 0.3
    buds: int = 0
    islands: int = 0
    hu: float = 62.0
    heterogeneity: float = 3.0
    black_hole: float = 0.0
    swirl: float = 0.0
    fluid_level: float = 0.0
    ventricular: float = 0.0
    edema_mm: float = 4.0
    elongation: tuple[float, float, float] = (0.85, 1.3, 1.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    seed: int = 0

    def grown(self, factor: float) -> BleedParameters:
        """The same hemorrhage at another volume."""
        return replace(self, volume_ml=self.volume_ml * factor, edema_mm=self.edema_mm * factor**0.3)


def sample_bleed(rng: np.random.Generator) -> BleedParameters:
    """A random hemorrhage. The volume is log-normal (median 12 mL, published cohorts: 11.7, IQR 4.9 to 26.6); signs are
    commoner in larger ones.
    """
    location = str(rng.choice(LOCATIONS, p=LOCATION_SHARES))
    volume = float(np.clip(rng.lognormal(np.log(13.0), 1.1), 0.8, LARGEST_ML[location]))
    # How turbulent the bleeding is: one common cause of irregular shape, mixed density and its signs.
    active = float(np.clip(rng.beta(1.6, 2.2) + 0.10 * np.log(volume / 12.0), 0.0, 1.0))
    several = volume > 3.0
    return BleedParameters(
        location=location,
        center=sample_center(location, rng),
        volume_ml=volume,
        irregularity=float(np.clip(0.10 + 0.75 * active + rng.normal(0, 0.15), 0.0, 1.0)),
        buds=int(rng.poisson(2.2 * active)) if several else 0,
        islands=int(rng.poisson(2.4 * active**2)) if several else 0,
        hu=float(rng.normal(63.0 - 4.0 * active, 4.0)),
        heterogeneity=float(np.clip(1.0 + 7.5 * active + rng.normal(0, 1.2), 0.5, 11.0)),
        black_hole=float(rng.uniform(24, 40)) if several and rng.random() < 0.05 + 0.35 * active else 0.0,
        swirl=float(rng.uniform(14, 32)) if volume > 8 and rng.random() < 0.5 * active else 0.0,
        fluid_level=float(rng.uniform(10, 25)) if volume > 8 and rng.random() < 0.03 else 0.0,
        ventricular=float(rng.beta(1.2, 2.0)) if rng.random() < _ventricular_risk(location, volume) else 0.0,
        edema_mm=float(np.clip(rng.lognormal(np.log(3.8), 0.45), 1.0, 10.0)),
        elongation=tuple(float(v) for v in np.exp(rng.normal([-0.12, 0.2, 0.0], 0.16))),
        turn=tuple(float(v) for v in rng.normal(0, 22, 3)),
        seed=int(rng.integers(2**31)),
    )


def _ventricular_risk(location: str, volume: float) -> float:
    return {"thalamus": 0.5, "putamen": 0.2, "lobar": 0.12, "cerebellum": 0.25, "brainstem": 0.2}[location] + min(
        0.3, 0.006 * volume
    )


def sample_center(location: str, rng: np.random.Generator) -> tuple[float, float, float]:
    side = float(rng.choice([-1.0, 1.0]))
    if location == "putamen":
        center = side * rng.normal(26, 3), rng.normal(4, 8), rng.normal(4, 6)
    elif location == "thalamus":
        center = side * rng.normal(13, 2), rng.normal(-12, 5), rng.normal(7, 4)
    elif location == "cerebellum":
        center = side * rng.uniform(5, 28), rng.normal(-52, 8), rng.normal(-44, 5)
    elif location == "brainstem":
        center = side * rng.uniform(0, 5), rng.normal(-20, 4), rng.normal(-40, 6)
    else:
        height = rng.uniform(-0.15, 0.85)
        angle = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.58, 0.74) * np.sqrt(1 - height**2)
        across = np.cos(angle) * reach * RADII[0]
        center = side * max(16.0, abs(across)), np.sin(angle) * reach * RADII[1], height * RADII[2] * 0.75
    return tuple(float(v) for v in center)


def pushed(points: np.ndarray, b: BleedParameters) -> np.ndarray:
    """Where in the undisturbed brain a point came from: tissue makes room for the clot, less so farther away."""
    center = np.asarray(b.center, np.float32)[:, None, None, None]
    away = points - center
    r = np.sqrt((away**2).sum(axis=0)) + np.float32(1e-3)
    radius = (3000.0 * b.volume_ml / (4 * np.pi)) ** (1 / 3)
    source = np.cbrt(np.maximum(r**3 - 0.6 * radius**3, 0))
    share = np.exp(-((np.maximum(r - radius, 0) / 38.0) ** 2))
    return center + away * (1 + share * (source / r - 1))


@dataclass(frozen=True)
class Blood:
    """Shares (0..1) of each voxel on the canvas' grid, and the density (k, j, i) of clotted blood."""

    hematoma: np.ndarray
    ventricular: np.ndarray
    edema: np.ndarray
    extra_axial: np.ndarray


def draw_bleed(c: Canvas, b: BleedParameters, points: np.ndarray) -> Blood:
    """Paints a hemorrhage into a drawn head.

    Args:
        points: coordinates (3, k, j, i) of the voxels in the anatomy's frame, which no bleeding moves.
    """
    rng = np.random.default_rng([b.seed, 3])
    shares = [np.zeros(c.grid.shape, np.float32) for _ in range(4)]
    if b.ventricular > 0:
        _fill_ventricles(c, b, rng, shares[1])
    reach = 1.9 * (3000.0 * b.volume_ml / (4 * np.pi)) ** (1 / 3) + 14.0
    box = c.grid.box(np.subtract(b.center, reach), np.add(b.center, reach), 6.0)
    part = c.part(np.subtract(b.center, reach), np.add(b.center, reach), 6.0)
    scanned = _scanned_share(c.grid, b)
    if part is None or not scanned:
        return Blood(*shares)
    q = points[(slice(None), *box)]
    allowed = (part.regions["brain"] > 0.5) & ~_other_side(q, b)
    shape, main = _clot(part.grid, q, b, rng)
    voxel_ml = abs(np.linalg.det(c.grid.matrix[:3, :3])) / 1000.0
    level = _level(np.where(allowed, shape, np.float32(1e3)), b.volume_ml * scanned, voxel_ml)
    clot = coverage(shape - level, 1.4) * allowed
    fill = shares[1][box]
    fill *= 1 - clot
    distance = main - level
    edema = _edema(part, b, distance, clot, rng) * (1 - fill)
    part.blend(_edema_density(part, rng), edema * 0.9)
    part.blend(_density(part, q, b, shape - level, rng), clot)
    shares[0][box], shares[2][box] = clot, edema
    return Blood(*shares)


def _other_side(q: np.ndarray, b: BleedParameters) -> np.ndarray:
    """Beyond the falx, the tentorium and the skull base a clot does not spread."""
    x, y, z = q
    if b.location in ("cerebellum", "brainstem"):
        return z > tentorium_height(x, y) - 1
    under = (z < tentorium_height(x, y) + 1.5) & (y < -10)
    across = (x * np.sign(b.center[0]) < -1.0) if b.location != "thalamus" else np.zeros(x.shape, bool)
    return under | across | (z < floor_of_skull(x, y))


def _scanned_share(grid: Grid, b: BleedParameters) -> float:
    """How much (0..1) of the clot, taken for an ellipsoid, the grid holds; 1 but for clots that the scan cuts."""
    steps = np.linspace(-1, 1, 21)
    ball = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    ball = ball[(ball**2).sum(axis=1) <= 1]
    points = (ball * _radii(b)) @ rotation(b.turn) + b.center
    ijk = (points - grid.matrix[:3, 3]) @ np.linalg.inv(grid.matrix[:3, :3]).T
    return float(np.all((ijk >= -0.5) & (ijk <= np.array(grid.shape[::-1]) - 0.5), axis=1).mean())


def _radii(b: BleedParameters) -> np.ndarray:
    """Half axes of the main clot, mm."""
    radius = (3000.0 * b.volume_ml / (4 * np.pi)) ** (1 / 3)
    return radius * np.asarray(b.elongation) / np.cbrt(np.prod(b.elongation))


def _level(shape: np.ndarray, volume_ml: float, voxel_ml: float) -> float:
    """The value below which the shape fills the volume."""
    count = round(volume_ml / voxel_ml)
    values = shape[shape < 60.0]
    if count >= values.size:
        return float(values.max(initial=0.0))
    return float(np.partition(values, count)[count])


def _clot(grid: Grid, q: np.ndarray, b: BleedParameters, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Distance-like field of the clot with its buds and islands, and of the main clot alone."""
    radius = (3000.0 * b.volume_ml / (4 * np.pi)) ** (1 / 3)
    radii = _radii(b)
    turn = rotation(b.turn)
    lobes = RandomField(rng, (1.1 * radius, 2.4 * radius), 32).on(grid)
    fringe = RandomField(rng, (0.45 * radius, 1.0 * radius), 32).on(grid)
    main = ellipsoid(q, b.center, radii, turn)
    main = main + np.float32(b.irregularity * radius) * (0.26 * lobes + 0.10 * fringe)
    shape = main
    center = np.asarray(b.center)
    for number in range(b.buds + b.islands):
        apart = number >= b.buds
        direction = rng.standard_normal(3) * (1, 1, 0.5)
        direction /= np.linalg.norm(direction)
        size = float(np.clip(radius * rng.uniform(0.20, 0.32), 2.2, 7.0))
        surface = 1.0 / np.sqrt((((turn @ direction) / radii) ** 2).sum())
        gap = rng.uniform(2.0, 5.0) + 0.35 * b.irregularity * radius if apart else -0.15 * size
        place = center + direction * (surface + size + gap)
        shape = np.minimum(shape, ellipsoid(q, place, size * rng.uniform(0.75, 1.25, 3)))
    return shape, main


def _density(c: Canvas, q: np.ndarray, b: BleedParameters, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """HU inside the clot: mottled, with swirls, a black hole or a fluid level."""
    radius = (3000.0 * b.volume_ml / (4 * np.pi)) ** (1 / 3)
    coarse = RandomField(rng, (max(6.0, 0.6 * radius), max(10.0, 1.6 * radius)), 24).on(c.grid)
    fine = RandomField(rng, (5.0, 11.0), 24).on(c.grid)
    hu = b.hu + np.float32(b.heterogeneity) * (0.8 * coarse + 0.6 * fine)
    inside = np.clip(-(depth + 2.0) / 2.0, 0, 1)
    if b.swirl:
        bands = RandomField(rng, (0.9 * radius, 1.8 * radius), 20).on(c.grid)
        hu = hu - b.swirl * np.clip((0.35 - np.abs(bands)) * 4, 0, 1) * inside
    if b.black_hole:
        size = float(np.clip(0.3 * radius, 3.0, 8.0))
        place = np.asarray(b.center) + rng.normal(0, 0.22 * radius, 3) * (1, 1, 0.4)
        hole = ellipsoid(q, place, size * rng.uniform(0.8, 1.2, 3) * (1, 1, 1.3))
        hu = hu - b.black_hole * coverage(hole, 1.5) * np.clip(-(depth + 2.5) / 1.0, 0, 1)
    if b.fluid_level:
        hu = hu - b.fluid_level * (np.clip((q[1] - b.center[1]) / 1.5, -0.5, 0.5))
    return hu


def _edema(
    c: Canvas, b: BleedParameters, distance: np.ndarray, clot: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    uneven = RandomField(rng, (15, 45), 16).on(c.grid)
    thickness = np.maximum(b.edema_mm * (1 + 0.55 * uneven), 0.0)
    rim = coverage(distance - thickness, 1.8) * (1 - clot)
    rim = rim * (thickness > 0.7) * np.clip((c.regions["depth"] - 2.5) / 3.0, 0, 1)
    return rim * c.regions["brain"] * (1 - c.regions["ventricle"]) * (1 - c.regions["cistern"])


def _edema_density(c: Canvas, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(15, 22) + 1.5 * RandomField(rng, (8, 30), 12).on(c.grid)


def _fill_ventricles(c: Canvas, b: BleedParameters, rng: np.random.Generator, out: np.ndarray) -> None:
    """Blood spreads from the clot's side and settles at the back, where the patient lies; `out` takes its share."""
    box = c.grid.box((-38, -62, -50), (38, 42, 28), 16.0)
    part = c.part((-38, -62, -50), (38, 42, 28), 16.0)
    if part is None:
        return
    x, y, _z = part.points
    preference = 0.5 * np.sign(b.center[0]) * x - 0.35 * y + 6.0 * RandomField(rng, (12, 40), 12).on(part.grid)
    ventricle = part.regions["ventricle"]
    values = preference[ventricle > 0.5]
    if values.size:
        share = ventricle * coverage(float(np.quantile(values, 1 - b.ventricular)) - preference, 2.0)
        part.blend(b.hu - 4.0 + 3.0 * RandomField(rng, (8, 25), 12).on(part.grid), share)
        out[box] = share


def draw_extra_axial(c: Canvas, kind: str, q: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paints blood between skull and brain (subdural, epidural) or in the sulci and cisterns; returns its share."""
    x, y, z = q
    depth = c.regions["depth"]
    side = float(rng.choice([-1.0, 1.0]))
    hu = float(rng.uniform(52, 78)) + 3.0 * RandomField(rng, (10, 40), 12).on(c.grid)
    if kind == "subarachnoid":
        where = RandomField(rng, (50, 120), 10).on(c.grid)
        share = np.maximum(c.regions["sulci"], c.regions["cistern"]) * np.clip(
            2 * (where - rng.uniform(-0.6, 0.8)), 0, 1
        )
        hu = hu - 8.0
    else:
        focus = np.array([side * rng.uniform(0.7, 1.0), rng.uniform(-0.7, 0.7), rng.uniform(0.0, 0.7)])
        focus /= np.linalg.norm(focus)
        norm = np.sqrt(x**2 + y**2 + z**2) + 1e-3
        angle = np.degrees(np.arccos(np.clip((x * focus[0] + y * focus[1] + z * focus[2]) / norm, -1, 1)))
        width = rng.uniform(45, 75) if kind == "subdural" else rng.uniform(20, 32)
        profile = 1 - (angle / width) ** (4 if kind == "subdural" else 2)
        thick = rng.uniform(4, 14) if kind == "subdural" else rng.uniform(8, 24)
        share = coverage(depth - thick * profile - 1, 1.5) * c.regions["inside"] * (profile > 0)
        share = share * (z > -20) * (x * side > 1.5)
    share = share.astype(np.float32)
    c.blend(hu, share)
    return share
