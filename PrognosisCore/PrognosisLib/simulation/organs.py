"""Shapes of a simulated patient's organs in a canonical frame, mm: +x patient right, +y anterior, +z superior.

The origin lies in front of the spine at the level of the first lumbar vertebra; the patient's size scales the frame.
Places and proportions were laid out by eye against public portal-venous CT (BTCV).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .shapes import Grid, RandomField, Slices, ellipsoid, rotation, smooth_max, smooth_min, solve_level, tube

if TYPE_CHECKING:
    from .anatomy import AbdomenParameters

CAVITY = (142.0, 92.0, -12.0)  # half width, half depth, center y
BELOW, ABOVE = -345.0, 330.0  # the modeled length of the trunk


@dataclass
class Space:
    """A grid, the warped coordinates (3, k, j, i) of its voxels, and the random fields already computed on it."""

    grid: Grid
    p: np.ndarray
    root: Space | None = None
    slices: Slices | None = None
    fields: dict[int, np.ndarray] = field(default_factory=dict)

    def crop(self, slices: Slices) -> Space:
        """The part of a whole space under `slices`."""
        return Space(self.grid.crop(slices), self.p[(slice(None), *slices)], self, slices)

    def value(self, random: RandomField) -> np.ndarray:
        """Values (k, j, i) of a random field, computed once for the whole space."""
        whole = self.root or self
        if id(random) not in whole.fields:
            whole.fields[id(random)] = random.on(whole.grid)
        values = whole.fields[id(random)]
        return values if self.slices is None else values[self.slices]

    @cached_property
    def cavity_ratio(self) -> np.ndarray:
        """Position across the trunk's cavity: 0 at its axis, 1 at its wall."""
        x, y, z = self.p
        a = np.interp(z, (-340, -200, -110, 40, 120, 220, 330), (132, 134, 128, 142, 136, 116, 78)).astype(np.float32)
        b = np.interp(z, (-340, -200, 60, 220, 330), (92, 96, 92, 84, 62)).astype(np.float32)
        return _superellipse(np.abs(x) / a, np.abs(y - np.float32(CAVITY[2])) / b)

    @cached_property
    def cavity(self) -> np.ndarray:
        """Radial distance from the inner wall of the trunk, mm; negative inside."""
        x, y, _ = self.p
        rho = np.sqrt(x * x + (y - np.float32(CAVITY[2])) ** 2)
        return rho * (1 - 1 / np.maximum(self.cavity_ratio, np.float32(0.05)))


def _superellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Radius of a superellipse of power 2.5, as sqrt of a sum of squares bent towards a rounded box."""
    u2, v2 = u * u, v * v
    s = u2 + v2
    return np.sqrt(s) * (1 - np.float32(0.2) * u2 * v2 / np.maximum(s * s, np.float32(1e-6)))


class Patient:
    """Everything random about one patient, drawn at once, so that no shape depends on the grid it is drawn on."""

    def __init__(self, parameters: AbdomenParameters, seed: int):
        self.par = parameters
        rng = np.random.default_rng([seed, 1])
        self.scale = np.array([parameters.width_scale, parameters.depth_scale, parameters.height_scale])
        self.warps = [RandomField(rng, (110, 320), 20) for _ in range(3)]
        self.lobules = RandomField(rng, (38, 75), 40)
        self.ripples = RandomField(rng, (70, 140), 24)
        self.nodules = RandomField(rng, (13, 26), 48)
        self.loops = RandomField(rng, (42, 66), 60)
        self.fine = RandomField(rng, (18, 34), 48)
        self.jitter = rng.normal(0, 1, (24, 3))
        self.phase = rng.uniform(0, 1)
        volume = max(parameters.spleen_mL, 1.0)
        self.swell = float(np.clip(np.log(volume / 180) / np.log(3000 / 180), 0, 1))
        self.spleen_level, self.spleen_z = self._fit_spleen()
        self.liver_level = self._fit_liver()
        self.ascites_level = self._fit_ascites() if parameters.ascites_mL > 0 else 0.0

    def space(self, grid: Grid) -> Space:
        """Warped coordinates on a grid of the canonical frame."""
        p = grid.points()
        for axis, warp in enumerate(self.warps):
            p[axis] += np.float32(self.par.warp_mm) * warp.on(grid)
        return Space(grid, p)

    def _move(self, n: int, amount: float = 4.0) -> np.ndarray:
        return self.jitter[n] * amount

    # -- diaphragm --------------------------------------------------------------------------------------------------

    def diaphragm(self, s: Space) -> np.ndarray:
        """Signed height over the diaphragm, mm along z, reduced for its slope; positive in the chest."""
        x, y, z = s.p
        r = np.minimum(_superellipse(np.abs(x) / CAVITY[0], np.abs(y - CAVITY[2]) / CAVITY[1]), 1)
        top = 112 + 8 * np.tanh(x / 50) - 16 * np.exp(-(((x + 5) / 30) ** 2)) + self.par.breath_mm
        edge = 12 + 45 * np.clip((y - CAVITY[2]) / CAVITY[1], -0.7, 1) + 0.5 * self.par.breath_mm
        dome = edge + (top - edge) * np.sqrt(1 - r**3)
        return ((z - dome) * np.float32(0.75)).astype(np.float32)

    def spine(self, s: Space) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vertebral bodies, spinal canal, and posterior elements."""
        x, y, z = s.p
        y = y - 8 * np.cos((z + 40) / 110)
        beat = np.cos(z * np.float32(2 * np.pi / 32))
        body = np.sqrt((x / 24) ** 2 + ((y + 48) / 17) ** 2)
        body = (body - 1) * 19 + 1.5 * beat
        canal = np.sqrt((x / 12) ** 2 + ((y + 72) / 8.5) ** 2) * 10 - 10
        ring = np.maximum(np.sqrt((x / 18) ** 2 + ((y + 74) / 15) ** 2) * 16 - 16, -5 * beat - 3)
        spinous = np.maximum(np.maximum(np.abs(x) - 3.5, np.abs(y + 96) - 16), 10 * (0.2 - beat))
        transverse = np.sqrt(((np.abs(x) - 16) / 17) ** 2 + ((y + 78) / 4.5) ** 2 + ((1 + beat) * 0.9) ** 2) * 6 - 6
        return body, canal, np.minimum(np.minimum(ring, spinous), transverse)

    def disc(self, s: Space) -> np.ndarray:
        beat = np.cos(s.p[2] * np.float32(2 * np.pi / 32))
        return (np.float32(0.72) - beat) * 6

    def spinal_block(self, s: Space) -> np.ndarray:
        """Spine and the muscles beside and behind it: nothing abdominal lies there."""
        x, y, _ = s.p
        back = np.sqrt((np.abs(x) / 58) ** 2 + ((y + 104) / 27) ** 2) * 34 - 34
        spine = np.sqrt((x / 33) ** 2 + ((y + 58) / 32) ** 2) * 32 - 32
        return np.minimum(back, spine)

    def paraspinal(self, s: Space) -> np.ndarray:
        x, y, _ = s.p
        return np.sqrt(((np.abs(x) - 33) / 29) ** 2 + ((y + 98) / 23) ** 2) * 25 - 25

    def psoas(self, s: Space) -> np.ndarray:
        x, y, z = s.p
        t = np.clip((20 - z) / 180, 0, 1)
        radius = 4 + 19 * np.sqrt(t)
        return np.sqrt((np.abs(x) - 33 - 30 * t**2) ** 2 + 0.8 * (y + 48 - 28 * t**2) ** 2) - radius

    # -- chest and pelvis ---------------------------------------------------------------------------------------------

    def ribs(self, s: Space) -> np.ndarray:
        """The twelve pairs of ribs, inside the chest wall."""
        x, y, z = s.p
        out = np.full(z.shape, 20, np.float32)
        near = (np.abs(s.cavity - 5) < 12) & (z > -70)
        x, y, z, wall = x[near], y[near], z[near], s.cavity[near]
        angle = np.arctan2(np.abs(x) / CAVITY[0], -(y - CAVITY[2]) / CAVITY[1]) / np.pi
        along = (z + 125 * angle - 40) / 27
        n = np.clip(np.round(along), 0, 11).astype(int)
        reach = np.array([0.36, 0.5, 0.68, 0.74, 0.78, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.9])[n]
        across = (along - n) * (27 * 0.82)
        d = (np.sqrt(((wall - 5) / 3.6) ** 2 + (across / 5.2) ** 2) - 1) * 4.2
        out[near] = np.maximum(d, np.maximum(angle - reach, 0.11 - angle) * 200)
        return out

    def pelvis(self, s: Space) -> np.ndarray:
        x, y, z = s.p
        q = np.stack([np.abs(x), y, z])
        wing = (
            np.abs(ellipsoid(q, (62, -8, -205), (66, 84, 96), rotation((12, 0, 0))))
            - 4.5
            - 3 * np.exp(-(((z + 150) / 18) ** 2))
        )
        wing = np.maximum(wing, np.maximum(z + 142, np.maximum(70 - q[0] - 0.35 * (z + 200), y - 55)))
        sacrum = ellipsoid(q, (0, -82, -205), (50, 20, 62), rotation((-18, 0, 0)))
        joint = np.maximum(ellipsoid(q, (86, -8, -285), (33, 33, 33)), -ellipsoid(q, (92, -8, -288), (27, 27, 27)))
        head = ellipsoid(q, (92, -8, -288), (24, 24, 24))
        pubis = tube(q, [(75, 10, -285), (40, 48, -295), (4, 55, -318)], (12, 9, 10))
        return np.minimum(np.minimum(np.minimum(wing, sacrum), np.minimum(joint, head)), pubis)

    # -- organs -------------------------------------------------------------------------------------------------------

    def stomach(self, s: Space) -> np.ndarray:
        push, fill = self.swell, 0.55 + 0.6 * self.par.stomach_fill
        m = self._move(0, 5)
        points = np.array(
            [(-54, -16, 86), (-66, 4, 62), (-72, 32, 30), (-58, 52, -2), (-28, 60, -26), (10, 52, -22), (34, 38, -10)],
            float,
        )
        points += m
        points[:4, 0] += push * np.array([28, 34, 40, 34])
        points[:4, 1] += push * np.array([30, 26, 18, 10])
        return tube(s.p, points, np.array([40, 40, 34, 28, 22, 16, 9]) * fill)

    def left_kidney(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Center, radii and rotation of the left kidney."""
        center = np.array([-62, -54, -4]) + self._move(1) + self.swell * np.array([10, 2, -62])
        return center, np.array([27, 25, 55]) * (1 + 0.06 * self.jitter[2]), rotation((10, -14, -30))

    def right_kidney(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        center = np.array([66, -52, -24]) + self._move(3)
        return center, np.array([27, 25, 53]) * (1 + 0.06 * self.jitter[4]), rotation((10, 14, 30))

    def kidney(self, s: Space, side: int) -> tuple[np.ndarray, np.ndarray]:
        """A kidney without its sinus, and the sinus. `side` +1 right, -1 left."""
        center, radii, turn = self.right_kidney() if side > 0 else self.left_kidney()
        whole = ellipsoid(s.p, center, radii, turn)
        sinus_center = center + turn.T @ (np.array([-side * 21, 2, 0]))
        sinus = ellipsoid(s.p, sinus_center, radii * (0.7, 0.36, 0.42), turn)
        return smooth_max(whole, -sinus, 3), np.maximum(sinus, whole)

    def spleen_limits(self, s: Space) -> np.ndarray:
        """Where the spleen may lie: under the diaphragm, within the wall, beside kidney, stomach and spine."""
        center, radii, turn = self.left_kidney()
        kidney = ellipsoid(s.p, center, radii, turn)
        stomach = self.stomach(s) if self.swell < 0.75 else self.stomach(s) + 60 * (self.swell - 0.75)
        m = self._move(5, 3)
        hollow = ellipsoid(s.p, np.array([-48, 8, 50]) + m, (46, 48, 75)) + 160 * self.swell**2
        block = self.spinal_block(s)
        limits = smooth_max(self._under_diaphragm(s), 5 - kidney, 6)
        limits = smooth_max(limits, 4 - stomach, 8)
        limits = smooth_max(limits, -hollow, 10)
        # nothing of the spleen lies behind and medial to the kidney
        x, y, z = s.p
        behind = np.minimum(np.minimum(x - center[0] + 14, center[1] + 22 - y), (center[2] + 0.9 * radii[2] - z) * 0.6)
        return np.maximum(smooth_max(limits, behind.astype(np.float32), 10), 5 - block)

    def spleen_shape(self, s: Space) -> np.ndarray:
        """The spleen before its limits: grows from the left dome downward, forward and across the midline."""
        t, par = self.swell, self.par
        small = min((par.spleen_mL / 180) ** (1 / 3), 1.0) if par.spleen_mL > 0 else 1.0
        center = np.array([-100, -61, 48]) * (1 - t) + np.array([-80, -6, -30]) * t + self._move(6, 4)
        radii = (np.array([40, 50, 56]) * small * (1 - t) + np.array([80, 78, 150]) * t) * (1 + 0.07 * self.jitter[7])
        d = ellipsoid(s.p, center, np.abs(radii), rotation(np.array([18, 12, -10]) * (1 - t) + self._move(8, 7)))
        if par.spleen_lobulation > 0:
            lobe = center + np.array([24, 22, -14]) * small + self._move(9, 6)
            d = smooth_min(d, ellipsoid(s.p, lobe, np.array([15, 17, 20]) * par.spleen_lobulation + 3), 9)
            d = d + (1.2 + 2.6 * par.spleen_lobulation) * s.value(self.lobules)
        if par.spleen_cleft > 0:
            ahead, turn = center + np.array([14, 42, 6]) * small, rotation((35 * self.jitter[10, 0], 10, 20))
            d = smooth_max(d, -ellipsoid(s.p, ahead, (34, 9 + 13 * par.spleen_cleft, 1.8), turn), 3)
        return d + 2.0 * s.value(self.ripples)

    def spleen_tip(self, s: Space) -> np.ndarray | None:
        """The tip that some spleens send along the diaphragm, round the stomach, to the left liver lobe."""
        reach = self.par.spleen_tip
        if reach <= 0:
            return None
        start, middle, end = np.array([(-112, -40, 70), (-112, 4, 70), (-84, 46, 66)]) + self._move(10, 3)
        size = min((self.par.spleen_mL / 180) ** (1 / 3), 1.0)
        route = [start, start + (middle - start) * min(2 * reach, 1.0)]
        if reach > 0.5:
            route.append(middle + (end - middle) * (2 * reach - 1))
        tip = tube(s.p, route, np.array([22, 18, 13])[: len(route)] * size)
        return smooth_max(tip, self._under_diaphragm(s), 4)

    def spleen(self, s: Space) -> np.ndarray:
        d = smooth_max(self.spleen_shape(s) - np.float32(self.spleen_level), self.spleen_limits(s), 4)
        tip = self.spleen_tip(s)
        return d if tip is None else np.minimum(d, tip)

    def _under_diaphragm(self, s: Space) -> np.ndarray:
        """Room for the spleen under the diaphragm and within the wall, less a rim for ascites."""
        gap = 2.5 + 0.5 * np.clip(self.par.ascites_mL / 200, 0, 8)
        return np.maximum(s.cavity + gap, self.diaphragm(s) + gap)

    def liver_limits(self, s: Space) -> np.ndarray:
        gap = 2.0 + 1.2 * np.clip(self.par.ascites_mL / 200, 0, 10)
        free = np.maximum(s.cavity + gap, self.diaphragm(s) + np.minimum(gap, 8))
        center, radii, turn = self.right_kidney()
        limits = smooth_max(free, 4 - ellipsoid(s.p, center, radii, turn), 8)
        return np.maximum(limits, 6 - self.spinal_block(s))

    def liver_shape(self, s: Space) -> np.ndarray:
        """Right lobe, left lobe and caudate before their limits; cirrhosis shrinks the first, enlarges the others."""
        par = self.par
        c = par.cirrhosis if par.lobe_shift is None else par.lobe_shift
        m = self._move(11, 5)
        right = ellipsoid(s.p, np.array([84, 4, 24]) + m, (78 - 10 * c, 98 - 8 * c, 92 - 26 * c), rotation((0, -16, 0)))
        reach = par.left_lobe_reach
        middle = np.array([2 - 34 * reach, 36, 56]) + m
        radii = (72 + 36 * reach, 44 + 5 * c, 40 + 14 * c)
        left = ellipsoid(s.p, middle, radii, rotation((-14, 16 - 8 * reach, 0)))
        caudate = ellipsoid(s.p, np.array([20, 10, 36]), (15 + 9 * c, 16 + 8 * c, 26 + 12 * c))
        d = smooth_min(smooth_min(right, left, 24), caudate, 8)
        # it fills the right dome, and thins out below towards its lateral tip
        x, _, z = s.p
        d = d - 0.45 * np.clip(z - 30, 0, 80) * np.clip((x + 20) / 60, 0, 1)
        d = d + 0.35 * np.clip(8 - z, 0, None) * np.clip((100 - x) / 70, 0, 1) + 3.0 * s.value(self.ripples)
        if par.nodularity_mm is not None:
            return d + par.nodularity_mm * s.value(self.nodules)
        return d + (2.0 * c) * s.value(self.nodules) if par.cirrhosis > 0.15 else d

    def liver(self, s: Space) -> np.ndarray:
        return smooth_max(self.liver_shape(s) - np.float32(self.liver_level), self.liver_limits(s), 4)

    def _fit(self, low, high, step: float) -> tuple[Space, float]:
        low = np.asarray(low, float)
        size = np.ceil((np.asarray(high) - low) / step).astype(int)
        matrix = np.diag([step, step, step, 1.0])
        matrix[:3, 3] = low
        return self.space(Grid(tuple(size[::-1]), matrix)), step**3 * float(np.prod(self.scale)) / 1000

    def _fit_spleen(self) -> tuple[float, tuple[float, float]]:
        """The level that gives the requested volume, and the extent along z."""
        volume = self.par.spleen_mL
        if volume <= 0:
            return 0.0, (0.0, 0.0)
        step = 3.0 if volume < 250 else 5.0
        low, high = ((-165, -115, -60), (0, 80, 135)) if volume < 250 else ((-165, -115, -320), (80, 100, 135))
        s, voxel_mL = self._fit(low, high, step)
        shape, limits = self.spleen_shape(s), self.spleen_limits(s)
        tip = self.spleen_tip(s)
        level = solve_level(shape, limits, voxel_mL, step, volume, tip)
        inside = np.maximum(shape - level, limits) < step
        if tip is not None:
            inside |= tip < step
        inside = np.nonzero(inside.any(axis=(1, 2)))[0]
        return level, (low[2] + step * inside[0], low[2] + step * inside[-1])

    def _fit_liver(self) -> float:
        s, voxel_mL = self._fit((-140, -110, -190), (160, 110, 140), 6.0)
        limits = self.liver_limits(s)
        if self.par.spleen_mL > 0:
            limits = np.maximum(limits, -self.spleen(s))
        return solve_level(self.liver_shape(s), limits, voxel_mL, 6.0, self.par.liver_mL)

    # -- vessels and tubes --------------------------------------------------------------------------------------------

    def vessels(self) -> dict[str, tuple[list, list]]:
        """Center lines and radii of the named tubes."""
        t, v = self.swell, 1 + 0.5 * self.par.portal_hypertension
        a = self._move(12, 2)
        hilum = np.array([-78, -28, 46]) * (1 - t) + np.array([-30, 2, 20]) * t
        confluence = np.array([10, 6, -6]) + a
        tubes = {
            "esophagus": (
                [(2, -14, 320), (-2, -16, 190), (-8, -10, 130), (-22, -2, 100), (-38, 2, 88)],
                [8, 8, 9, 9, 9],
            ),
            "aorta": (
                [(-22, -30, 270), (-16, -28, 150), (-6, -24, 40), (-3, -17, -60), (-2, -16, -108)],
                [13, 12, 11, 9.5, 9],
            ),
            "left iliac": ([(-2, -16, -108), (-34, -26, -170), (-62, 6, -250), (-70, 40, -320)], [7, 6, 5.5, 5]),
            "right iliac": ([(-2, -16, -108), (32, -26, -170), (60, 6, -250), (68, 40, -320)], [7, 6, 5.5, 5]),
            "vena cava": (
                [(16, -22, -118), (22, -16, -40), (24, -6, 30), (26, -2, 85), (18, 8, 122)],
                [9, 10, 11.5, 12, 12],
            ),
            "left iliac vein": ([(16, -22, -118), (-28, -36, -175), (-56, 0, -255), (-62, 36, -320)], [8, 7, 7, 6]),
            "right iliac vein": ([(16, -22, -118), (28, -36, -175), (54, 0, -255), (60, 36, -320)], [8, 7, 7, 6]),
            "portal": ([confluence, (26, 10, 18), (42, 14, 40), (62, 4, 46)], [7.5 * v, 7 * v, 6.5 * v, 5]),
            "left portal": ([(42, 14, 40), (24, 38, 52), (4, 44, 60)], [5, 4.5, 3]),
            "right portal": ([(62, 4, 46), (92, -16, 32), (112, -30, 18)], [5, 4, 2.5]),
            "anterior portal": ([(62, 4, 46), (88, 26, 58), (104, 40, 70)], [5, 3.5, 2]),
            "mesenteric": ([confluence, (8, 14, -50), (14, 20, -110)], [6, 5.5, 4]),
            "pancreas": (
                [(28, 2, -44), (26, 14, -18), (8, 22, -4), (-20, 20, 6), (-46, 2, 20), (-66, -18, 32)],
                [15, 17, 12, 12, 12, 10],
            ),
            "right hepatic": ([(24, -2, 96), (70, -16, 78), (112, -26, 50)], [5, 4, 2]),
            "middle hepatic": ([(24, 4, 98), (48, 32, 80), (62, 56, 52)], [4.5, 3.5, 2]),
            "left hepatic": ([(22, 6, 98), (0, 30, 84), (-22, 46, 74)], [4.5, 3.5, 2]),
        }
        bends = np.array([hilum, hilum * 0.6 + (-6, 2, 6), (-14, 10, 8), confluence])
        bends[1] += self._move(13, 4)
        tubes["splenic vein"] = (list(bends), [4.5 * v * (1 + 0.5 * t), 5 * v * (1 + 0.4 * t), 5.5 * v, 6 * v])
        if t > 0.3:
            tubes["pancreas"] = ([*tubes["pancreas"][0][:4], (-36, 10, 12), hilum * 0.7], tubes["pancreas"][1])
        return tubes

    def bowel_loops(self, s: Space) -> np.ndarray:
        """Small bowel: the level set of a random field in the room that the abdomen leaves."""
        _, y, z = s.p
        fat = self.par.visceral_fat
        room = np.maximum(s.cavity + 9 + 10 * fat, np.maximum(z - 14 - 0.35 * y, -(y + 34 - 0.1 * (z + 100))))
        block = np.maximum(22 - self.psoas(s) * 1.5, 20 - self.spinal_block(s))
        loops = (np.float32(0.75 * fat - 0.35) - s.value(self.loops)) * 11
        return smooth_max(smooth_max(loops, room, 8), block - 16, 5)

    def ascites_depth(self, s: Space) -> np.ndarray:
        """Order in which fluid fills the peritoneal cavity: pelvis, gutters and the rims of liver and spleen first."""
        _, y, z = s.p
        dome = self.diaphragm(s)
        low = 7 + np.clip((z + 320) / 9, 0, 60)
        rim = -np.maximum(s.cavity, dome) * 0.9 + 10 * np.clip((y - 20) / 60, 0, 1)
        depth = np.minimum(rim, low) + 2.0 * s.value(self.ripples) + np.clip(-(y + 52), 0, None) * (z < 0)
        return np.maximum(np.maximum(depth, (s.cavity + 2.5) * 3), (dome + 3) * 3)

    def _fit_ascites(self) -> float:
        """The level of `ascites_depth` that gives about the requested volume beside the organs."""
        s, voxel_mL = self._fit((-150, -115, -340), (150, 105, 130), 8.0)
        organs = np.minimum(np.minimum(self.liver(s), self.stomach(s)), self.bowel_loops(s))
        for side in (1, -1):
            organs = np.minimum(organs, self.kidney(s, side)[0])
        if self.par.spleen_mL > 0:
            organs = np.minimum(organs, self.spleen(s))
        limits = np.maximum(np.maximum(-organs, s.cavity), 4 - self.spinal_block(s))
        return solve_level(self.ascites_depth(s), limits, voxel_mL, 8.0, self.par.ascites_mL)

    def colon(self) -> tuple[np.ndarray, np.ndarray]:
        """Center line and radii of the colon, cecum to rectum; a large spleen pushes the splenic flexure down."""
        drop = 150 * self.swell
        points = np.array(
            [(92, 4, -150), (104, -6, -110), (108, -14, -70), (98, 18, -50), (60, 50, -58), (0, 58, -64),
             (-56, 52, -40), (-104, 18, 2 - drop), (-118, -22, 6 - drop), (-116, -36, -60 - 0.5 * drop),
             (-112, -26, -140), (-88, 2, -185), (-40, 8, -205), (-8, -14, -215), (-2, -44, -240), (0, -50, -300)]
        )  # fmt: skip
        wobble = np.resize(self.jitter[14:22], points.shape) * 6
        radii = np.array([26, 25, 22, 20, 20, 19, 19, 18, 18, 16, 15, 15, 15, 15, 18, 16], float)
        return points + wobble, radii * (0.85 + 0.15 * np.resize(self.jitter[22], radii.size).clip(-1.5, 1.5))
