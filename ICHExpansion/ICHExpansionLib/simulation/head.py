"""A procedural head: brain, ventricles, cisterns, skull and its base, calcifications and old infarcts.

The anatomy's own frame is RAS in mm with its origin in the middle of the brain, +x to the patient's right. Densities
are textbook values for unenhanced CT. Shapes are implicit (see PrognosisLib.simulation.shapes); nothing is traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from PrognosisLib.simulation.shapes import Grid, RandomField, coverage, ellipsoid, smooth_max, tube

RADII = (66.0, 85.0, 74.0)  # of the brain, mm
LOWER_RADII = (66.0, 85.0, 105.0)
GRAY_HU, WHITE_HU, CSF_HU = 37.0, 28.5, 7.0
EDGE_MM = 1.2
# Course of one lateral ventricle at the right side, and its radii; and of the temporal horn.
VENTRICLE = ((7, 34, 6), (9, 22, 14), (12, 0, 19), (16, -22, 17), (22, -38, 8), (18, -56, 4))
VENTRICLE_RADII = (3.0, 5.0, 4.5, 5.0, 6.0, 2.5)
TEMPORAL_HORN = ((22, -38, 8), (30, -28, -8), (28, -8, -22))
TEMPORAL_RADII = (5.0, 3.0, 2.0)
CHOROID = (20.0, -34.0, 8.0)
PINEAL = (0.0, -24.0, 2.0)
GLOBUS = (17.0, 4.0, 0.0)


@dataclass(frozen=True)
class HeadParameters:
    """One head.

    Args:
        scale: of the brain along R, A, S.
        atrophy: 0 (young) to 1: wider sulci and ventricles.
        skull_mm: thickness of the vault.
        calcified: which of "choroid", "pineal", "globus", "falx" are calcified.
        infarct: center of an old infarct in the anatomy's frame (mm), or None; with its radius.
        leukoaraiosis: 0 to 1, low density of the white matter around the ventricles.
    """

    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    atrophy: float = 0.4
    skull_mm: float = 7.0
    calcified: tuple[str, ...] = ("choroid", "pineal")
    infarct: tuple[float, float, float, float] | None = None
    leukoaraiosis: float = 0.3
    gray_hu: float = GRAY_HU
    white_hu: float = WHITE_HU

    @classmethod
    def sample(cls, rng: np.random.Generator) -> HeadParameters:
        """A random adult head."""
        size = rng.normal(1.0, 0.03)
        calcified = tuple(
            name
            for name, share in (("choroid", 0.7), ("pineal", 0.7), ("globus", 0.15), ("falx", 0.2))
            if rng.random() < share
        )
        infarct = None
        if rng.random() < 0.2:
            side = rng.choice([-1.0, 1.0])
            place = (side * rng.uniform(12, 55), rng.uniform(-60, 50), rng.uniform(-10, 45))
            infarct = (*(float(v) for v in place), float(rng.uniform(4, 22)))
        gray = float(rng.normal(GRAY_HU, 2.0))
        return cls(
            scale=tuple(float(v) for v in size * rng.normal(1.0, 0.03, 3)),
            atrophy=float(rng.beta(2, 2)),
            skull_mm=float(np.clip(rng.normal(7.0, 1.5), 4, 12)),
            calcified=calcified,
            infarct=infarct,
            leukoaraiosis=float(rng.beta(1.2, 2.5)),
            gray_hu=gray,
            white_hu=gray - float(rng.uniform(5.5, 10.0)),
        )


@dataclass
class Canvas:
    """The drawing: coordinates (3, k, j, i) of the anatomy's frame, HU (k, j, i) and named regions (0..1)."""

    grid: Grid
    points: np.ndarray
    hu: np.ndarray
    regions: dict[str, np.ndarray] = field(default_factory=dict)

    def paint(self, hu: float | np.ndarray, distance: np.ndarray, edge: float = EDGE_MM) -> np.ndarray:
        """Covers everything inside a shape with a density; returns the share of each voxel that it took."""
        share = coverage(distance, edge)
        self.blend(hu, share)
        return share

    def blend(self, hu: float | np.ndarray, share: np.ndarray) -> None:
        self.hu += share * (hu - self.hu)

    def part(self, low: Sequence[float], high: Sequence[float], margin: float = 16.0) -> Canvas | None:
        """The part that holds a box of the anatomy's frame, sharing memory with the whole; None when outside."""
        box = self.grid.box(low, high, margin)
        if box is None:
            return None
        regions = {name: array[box] for name, array in self.regions.items()}
        return Canvas(self.grid.crop(box), self.points[(slice(None), *box)], self.hu[box], regions)


def floor_of_skull(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height (mm) of the skull base under each point: the anterior, middle and posterior fossa."""

    def step(value: np.ndarray, width: float) -> np.ndarray:
        return 1 / (1 + np.exp(-np.clip(value / width, -30, 30)))

    middle = -30.0 - 19.0 * step(np.abs(x) - 16.0, 3.0)
    behind = -68.0 + 0.0 * y
    in_front = -27.0 + 0.002 * x**2
    height = behind + (middle - behind) * step(y + 8.0 - 0.25 * np.abs(x), 3.5)
    return height + (in_front - height) * step(y - 38.0 + 0.15 * np.abs(x), 3.0)


def tentorium_height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height (mm) of the tentorium where there is one (behind y = -8)."""
    return -10.0 - 0.32 * np.abs(x) - 0.06 * (y + 50.0)


def draw_head(p: HeadParameters, grid: Grid, rng: np.random.Generator, points: np.ndarray, moved: np.ndarray) -> Canvas:
    """Draws everything but blood.

    Args:
        grid: from voxels to the anatomy's frame before `scale`.
        points: coordinates (3, k, j, i) of the voxels in the anatomy's frame.
        moved: coordinates at which the inside of the brain is read instead, where a bleeding pushes it aside.

    Returns:
        the canvas; `regions` holds "brain", "ventricle", "sulci", "cistern" and "inside" (share of a voxel) and
        "depth", the distance (mm) to the brain's surface, positive inside.
    """
    x, y, z = points
    floor = floor_of_skull(x, y)
    vault = np.where(z >= 0, ellipsoid(points, (0, 0, 0), RADII), ellipsoid(points, (0, 0, 0), LOWER_RADII))
    surface = smooth_max(vault, floor - z, 6.0)
    canvas = Canvas(grid, moved, np.full(grid.shape, -1000.0, np.float32))
    canvas.regions |= {name: np.zeros(grid.shape, np.float32) for name in ("brain", "sulci", "ventricle", "cistern")}
    canvas.regions |= {"surface": surface, "depth": -surface, "vault": vault, "floor": floor}
    canvas.regions |= {"x": x, "y": y, "z": z}
    _draw_skull(canvas, p, rng)
    _draw_brain(canvas, p, rng)
    _draw_fluid(canvas, p, rng)
    _draw_membranes(canvas, p, rng)
    _draw_findings(canvas, p, rng)
    canvas.regions["inside"] = coverage(surface - 1.5, EDGE_MM)
    return canvas


def _still(c: Canvas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates that no bleeding moves."""
    return c.regions["x"], c.regions["y"], c.regions["z"]


def _draw_skull(c: Canvas, p: HeadParameters, rng: np.random.Generator) -> None:
    vault, surface = c.regions["vault"], c.regions["surface"]
    thick = p.skull_mm * (1 + 0.2 * RandomField(rng, (40, 90), 10).on(c.grid))
    gap = 1.0 + 2.0 * p.atrophy
    scalp = vault - gap - thick
    c.paint(48.0, scalp - 6.0, 2.0)
    c.paint(-80.0, np.abs(scalp - 2.6) - 1.3, 1.5)
    _draw_face(c.part((-90, -110, -150), (90, 110, -20), 4), p, rng)
    bone = np.maximum(scalp, np.maximum(gap - surface, surface - gap - thick * 1.1))
    c.paint(950.0 - 380.0 * coverage(np.abs(surface - gap - thick / 2) - thick / 4, 1.5), bone)
    c.paint(CSF_HU, surface - gap)
    part = c.part((-62, -36, -56), (62, 4, -32), 12)
    if part is not None:
        x, y, z = _still(part)
        ridge = tube(np.stack([np.abs(x), y, z]), ((18, -4, -47), (36, -16, -45), (60, -30, -44)), (4.0, 6.0, 7.0))
        part.paint(1150.0, ridge)


def _draw_face(c: Canvas | None, p: HeadParameters, rng: np.random.Generator) -> None:
    """What lies below the brain: soft tissue, air of the sinuses and mastoids."""
    if c is None:
        return
    x, y, z = _still(c)
    face = np.maximum(c.regions["vault"] - 3 - p.skull_mm, z - c.regions["floor"] + 4)
    soft = RandomField(rng, (10, 40), 16).on(c.grid)
    c.paint(45.0 + 25.0 * soft, face)
    sinus = np.maximum(face + 4, np.maximum(np.abs(x) - 26, 25 - y))
    c.blend(-900.0, coverage(np.maximum(sinus, 3 * (0.2 - soft)), 2.0))
    mastoid = np.maximum(np.abs(np.abs(x) - 50) - 9, np.maximum(np.abs(y + 30) - 12, np.abs(z + 56) - 9))
    c.blend(np.where(soft > 0, -500.0, 600.0), coverage(mastoid, 2.0))


def _draw_brain(c: Canvas, p: HeadParameters, rng: np.random.Generator) -> None:
    x, y, z = c.points
    surface = c.regions["surface"]
    depth = -surface
    folds = RandomField(rng, (22, 44), 20).on(c.grid)
    other = RandomField(rng, (22, 44), 20).on(c.grid)
    ridge = np.minimum(np.abs(folds), np.abs(other))
    mottle = RandomField(rng, (10, 30), 14).on(c.grid)
    cortex = np.clip((10.0 + 3 * folds - depth) / 3.0, 0, 1)
    gray = np.maximum(cortex, np.clip((0.35 - ridge) * 5, 0, 1) * np.clip((26 - depth) / 8, 0, 1))
    cerebellum = (z < tentorium_height(x, y)) & (y < -14)
    gray = np.where(cerebellum, 0.45 + 0.25 * np.sin(1.6 * z + 2 * folds), gray)
    c.regions["gray"] = gray
    _draw_nuclei(c.part((-36, -40, -30), (36, 40, 35)), p)
    hu = p.white_hu + (p.gray_hu - p.white_hu) * c.regions["gray"] + 0.8 * mottle
    c.regions["brain"][:] = coverage(surface + 0.3 + 1.5 * p.atrophy, EDGE_MM)
    c.blend(hu, c.regions["brain"])
    part = c.part((-36, -62, -12), (36, 46, 40))
    if part is not None:
        near = ellipsoid(np.stack([np.abs(part.points[0]), *part.points[1:]]), (14, -8, 14), (20, 48, 20))
        part.hu -= p.leukoaraiosis * 7.0 * coverage(near, 12.0) * (1 - part.regions["gray"]) * part.regions["brain"]
    width = (0.14 + 0.30 * p.atrophy) * np.clip((24.0 - depth) / 16.0, 0, 1)
    sulci = np.clip((width - ridge) * 9, 0, 1) * c.regions["brain"] * ~cerebellum
    c.regions["sulci"][:] = sulci
    c.blend(CSF_HU + 3.0, sulci * 0.85)


def _draw_nuclei(c: Canvas | None, p: HeadParameters) -> None:
    """Basal ganglia and thalamus are gray."""
    if c is None:
        return
    nuclei = np.stack([np.abs(c.points[0]), *c.points[1:]])
    for center, radii in (((24, 6, 2), (7, 17, 11)), ((11, -12, 6), (8, 13, 9)), ((13, 20, 10), (5, 9, 9))):
        np.maximum(c.regions["gray"], coverage(ellipsoid(nuclei, center, radii), 3.0), out=c.regions["gray"])


def _draw_fluid(c: Canvas, p: HeadParameters, rng: np.random.Generator) -> None:
    grow = np.float32(0.6 + 1.1 * p.atrophy)
    part = c.part((-38, -62, -50), (38, 42, 28))
    if part is not None:
        x, y, z = q = part.points
        side = np.stack([np.abs(x) - 1.5 * grow, y, z])
        lateral = tube(side, VENTRICLE, np.array(VENTRICLE_RADII) * grow)
        lateral = np.minimum(lateral, tube(side, TEMPORAL_HORN, np.array(TEMPORAL_RADII) * grow))
        third = np.maximum(np.abs(x) - 1.6 * grow, ellipsoid(q, (0, -6, 0), (12, 17, 12)))
        fourth = ellipsoid(q, (0, -46, -40), (6 * grow, 5 * grow, 9))
        inside = np.maximum(np.minimum(np.minimum(lateral, third), fourth), part.regions["surface"])
        part.regions["ventricle"][:] = part.paint(CSF_HU - 2.0, inside)
    _draw_cisterns(c.part((-34, -50, -80), (34, 26, -8)), p, rng)
    for sign in (-1, 1):
        part = c.part(*np.sort([(sign * 30, -20, -16), (sign * 66, 36, 18)], axis=0))
        if part is not None:
            x, y, z = part.points
            bend = np.abs(x) - 38 - 0.006 * (y - 8) ** 2 - 0.3 * np.abs(z)
            insula = np.maximum(
                np.abs(bend) - 0.8 - 1.6 * p.atrophy, np.maximum(np.abs(y - 8) - 20, np.abs(z - 2) - 12)
            )
            opening = np.maximum(
                np.abs(z + 0.35 * (y - 10)) - 1.0 - 1.4 * p.atrophy, np.maximum(38 - np.abs(x), np.abs(y - 12) - 16)
            )
            fissure = np.maximum(np.minimum(insula, opening), part.regions["surface"])
            np.maximum(part.regions["cistern"], part.paint(CSF_HU + 2.0, fissure), out=part.regions["cistern"])
    part = c.part((-4, -90, -30), (4, 90, 80))
    if part is not None:
        x, y, z = part.points
        fissure = np.maximum(np.abs(x) - 0.6 - 1.2 * p.atrophy, 16 - np.hypot(y * 0.8, z - 4))
        fissure = np.maximum(fissure, np.maximum(part.regions["surface"] + 1, tentorium_height(x, y) + 2 - z))
        np.maximum(part.regions["cistern"], part.paint(CSF_HU + 2.0, fissure), out=part.regions["cistern"])


def _draw_cisterns(c: Canvas | None, p: HeadParameters, rng: np.random.Generator) -> None:
    """Cisterns around the brain stem, and the stem."""
    if c is None:
        return
    q, surface = c.points, c.regions["surface"]
    uneven = 2.0 * RandomField(rng, (16, 40), 12).on(c.grid)
    stem = tube(q, ((0, -10, -14), (0, -20, -40), (0, -32, -74)), (15.0, 14.0, 8.0)) + 0.5 * uneven
    basal = ellipsoid(q, (0, 2, -24), (15, 16, 7)) + uneven
    around = np.maximum(np.minimum(basal, stem - 1.0 - 2 * p.atrophy - 0.8 * uneven), -stem)
    c.regions["cistern"][:] = c.paint(CSF_HU + 2.0, np.maximum(np.maximum(around, q[2] + 12), surface))
    c.paint(0.5 * (p.gray_hu + p.white_hu) - 1, np.maximum(stem, surface))


def _draw_membranes(c: Canvas, p: HeadParameters, rng: np.random.Generator) -> None:
    """Falx, tentorium and the large venous sinuses: denser than brain, and often taken for blood."""
    dense = float(rng.uniform(44, 58))
    plate = (float(rng.uniform(20, 60)), float(rng.uniform(25, 50)), float(rng.uniform(120, 500)))
    part = c.part((-8, -95, -25), (8, 95, 85), 2)
    if part is not None:
        x, y, z = _still(part)
        surface = part.regions["surface"]
        roof = np.maximum(surface + 0.5, 30 - np.hypot(y * 0.8, z - 4))
        falx = np.maximum(np.abs(x + 1.5 * np.sin(y / 30)) - 0.5, np.maximum(roof, tentorium_height(x, y) - z))
        part.paint(dense, falx)
        sinus = np.maximum(np.hypot(x, surface - 0.5) - 4.0, np.maximum(-z - 5, y - 55))
        part.paint(dense, sinus)
        if "falx" in p.calcified:
            flat = np.maximum(np.abs(x) - 1.3, ellipsoid(np.stack([x, y, z]), (0, *plate[:2]), (5, 14, 9)))
            part.paint(plate[2], flat)
    part = c.part((-70, -90, -42), (70, -14, -4), 4)
    if part is not None:
        x, y, z = _still(part)
        surface = part.regions["surface"]
        tent = np.maximum(np.abs(z - tentorium_height(x, y)) - 0.5, np.maximum(surface, y + 16))
        part.paint(dense - 3, np.maximum(tent, 14 - np.hypot(x, y + 28)))
        part.paint(dense, np.maximum(np.hypot(z - tentorium_height(x, y), surface) - 3.5, y + 22))


def _draw_findings(c: Canvas, p: HeadParameters, rng: np.random.Generator) -> None:
    """Calcifications, an old infarct, and the basal arteries."""
    if p.infarct is not None:
        *center, radius = p.infarct
        hu = float(rng.uniform(8, 20))
        part = c.part(np.subtract(center, 1.4 * radius), np.add(center, 1.4 * radius))
        if part is not None:
            wobble = RandomField(rng, (10, 30), 12).on(part.grid)
            hole = ellipsoid(part.points, center, (radius, radius * 1.2, radius * 0.9)) + 0.2 * radius * wobble
            part.paint(hu, np.maximum(hole, part.regions["surface"]), 3.0)
    places = {
        "choroid": [(s * (CHOROID[0] + rng.normal(0, 1)), CHOROID[1], CHOROID[2]) for s in (-1, 1)],
        "pineal": [PINEAL],
        "globus": [(s * GLOBUS[0], GLOBUS[1], GLOBUS[2]) for s in (-1, 1)],
    }
    radii = {"choroid": (2.0, 4.0, 3.0), "pineal": (2.2, 2.2, 2.2), "globus": (2.5, 4.5, 3.0)}
    for name, centers in places.items():
        for center in centers:
            size = np.array(radii[name]) * rng.uniform(0.5, 1.4)
            hu = float(rng.uniform(80, 350 if name != "globus" else 160))
            part = c.part(np.subtract(center, size), np.add(center, size))
            if part is not None and (name in p.calcified or name == "choroid"):
                part.paint(hu if name in p.calcified else 42.0, ellipsoid(part.points, center, size))
    hu = float(rng.uniform(42, 58))
    part = c.part((-38, -8, -34), (38, 14, -6), 8)
    if part is not None:
        q = part.points
        artery = tube(q, ((0, -2, -30), (0, -4, -22)), (1.8, 1.6))
        side = np.stack([np.abs(q[0]), q[1], q[2]])
        part.paint(hu, np.minimum(artery, tube(side, ((6, 8, -18), (18, 10, -16), (34, 8, -10)), (1.8, 1.5, 1.2))))
