"""The order in which a simulated patient's tissues are painted: each covers what was painted before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .organs import ABOVE, BELOW, Space
from .shapes import Slices, ellipsoid, smooth_max, tube

if TYPE_CHECKING:
    from .anatomy import Anatomy


def paint_surroundings(a: Anatomy, s: Space) -> None:
    """Table, trunk, chest, skeleton, fluid and bowel: what lies where an organ ends."""
    _paint_trunk(a, s)
    _paint_chest(a, s)
    _paint_skeleton(a, s)
    _paint_ascites(a, s)
    _paint_bowel(a, s)


def paint_organs(a: Anatomy, s: Space) -> None:
    """The labeled organs; the spleen comes last and keeps its whole volume."""
    _paint_vessels(a, s)
    _paint_viscera(a, s)


def _part(space: Space, low, high) -> tuple[Space, Slices] | None:
    """The part of the space that holds a box of the canonical frame, with room for the warp."""
    slices = space.grid.box(low, high, 16.0)
    return None if slices is None else (space.crop(slices), slices)


def _paint_trunk(a: Anatomy, s: Space) -> None:
    par = a.patient.par
    x, y, z = s.p
    if par.table:
        rho = np.sqrt(x * x + (y - 180) ** 2)
        a.paint(
            "table",
            "table",
            np.maximum(np.abs(rho - (180 + 128 + 1.25 * par.subcutaneous_fat_mm + 9)) - 2.5, np.abs(x) - 215),
        )
    front, back = np.clip(y / 90, 0, 1), np.clip(-(y + 20) / 90, 0, 1)
    middle = np.exp(-((x / 26) ** 2))
    wall = 11.5 + 4 * np.clip(np.abs(x) / 140, 0, 1) - 4 * front * np.exp(-((x / 10) ** 2)) - 3 * middle * back
    belly = 1 + 0.35 * np.exp(-(((z + 90) / 110) ** 2))
    fat = par.subcutaneous_fat_mm * belly * (1 - 0.25 * np.abs(x / 150).clip(0, 1) * (1 - back) + 0.2 * back)
    outer = s.cavity - wall - fat
    a.paint("skin", "skin", outer)
    a.paint("fat", "fat", outer + 2)
    a.paint("muscle", "muscle", s.cavity - wall)
    streaks = np.maximum(np.abs(s.cavity - 0.55 * wall) - 0.7, 30 - np.abs(z + 60) * 0.3)
    a.paint("fat", "fat", streaks)
    a.paint("visceral fat", "fat", s.cavity)


def _paint_chest(a: Anatomy, s: Space) -> None:
    patient = a.patient
    part = _part(s, (-190, -150, -30), (190, 150, ABOVE))
    if part is None:
        return
    s, slices = part
    x, y, _ = s.p
    chest = patient.diaphragm(s)
    cavity = s.cavity
    a.paint("muscle", "muscle", np.maximum(np.abs(chest + 0.5) - 2.2, cavity), slices)
    inside = np.maximum(cavity + 1.5, 2 - chest)
    mediastinum = np.sqrt(((x + 6) / 36) ** 2 + ((y - 2) / 78) ** 2) * 40 - 40 + 2 * s.value(patient.ripples)
    a.paint("visceral fat", "fat", inside, slices)
    lung = smooth_max(np.maximum(inside, -mediastinum), 4 - patient.spinal_block(s), 4)
    a.paint("lung", "lung", lung, slices)
    if patient.par.effusion > 0:
        level = -96 + 55 * patient.par.effusion
        side = x * (1 if patient.phase < 0.4 else -1) if patient.phase < 0.75 else -np.abs(x)
        a.paint(
            "effusion", "pleural effusion", np.maximum(lung, np.maximum(y - level - 0.12 * (x / 10) ** 2, side)), slices
        )


def _paint_skeleton(a: Anatomy, s: Space) -> None:
    patient = a.patient
    a.paint("muscle", "muscle", np.maximum(patient.paraspinal(s), s.cavity - 8))
    part = _part(s, (-110, -110, BELOW), (110, 60, 30))
    if part is not None:
        a.paint("muscle", "muscle", np.maximum(patient.psoas(part[0]), part[0].cavity), part[1])
        q = part[0].p
        gluteal = np.maximum(
            np.abs(ellipsoid(np.stack([np.abs(q[0]), q[1], q[2]]), (62, -8, -215), (70, 88, 104))) - 13, q[2] + 150
        )
        a.paint("muscle", "muscle", np.maximum(gluteal, part[0].cavity - 4), part[1])
    part = _part(s, (-25, -45, -30), (25, -5, 100))
    if part is not None:
        x, y, z = part[0].p
        crura = np.sqrt(((np.abs(x) - 15) / 7) ** 2 + ((y + 26) / 14) ** 2) * 9 - 9
        a.paint("muscle", "muscle", np.maximum(crura, np.abs(z - 35) - 60), part[1])
    _paint_bone(a, patient.ribs(s), 1.3)
    part = _part(s, (-20, 30, 110), (20, 120, ABOVE))
    if part is not None:
        x, _, z = part[0].p
        sternum = np.maximum(np.abs(x) - 17, np.maximum(np.abs(part[0].cavity - 4) - 5, 112 - z))
        _paint_bone(a, sternum, 1.5, part[1])
    part = _part(s, (-48, -140, BELOW), (48, 10, ABOVE))
    if part is not None:
        body, canal, rear = patient.spine(part[0])
        a.paint("bone", "bone", rear, part[1])
        a.paint("marrow", "bone", rear + 3.0, part[1])
        a.paint("bone", "bone", body, part[1])
        a.paint("marrow", "bone", body + 1.6, part[1])
        disc = np.maximum(patient.disc(part[0]), body)
        a.paint("bone", "bone", np.maximum(disc - 1.6, body), part[1])
        a.paint("disc", "bone", disc, part[1])
        a.paint("cord", "muscle", canal, part[1])
    part = _part(s, (-160, -120, BELOW), (160, 90, -125))
    if part is not None:
        _paint_bone(a, patient.pelvis(part[0]), 2.0, part[1])


def _paint_bone(a: Anatomy, distance: np.ndarray, cortex: float, slices: Slices | None = None) -> None:
    a.paint("bone", "bone", distance, slices)
    a.paint("marrow", "bone", distance + cortex, slices)


def _paint_bowel(a: Anatomy, s: Space) -> None:
    patient = a.patient
    part = _part(s, (-150, -110, BELOW), (150, 100, 60))
    if part is None:
        return
    s, slices = part
    y = s.p[1]
    loops = patient.bowel_loops(s)
    content = s.value(patient.fine)
    a.paint("bowel wall", "bowel", loops, slices)
    a.paint("bowel content", "bowel", loops + 3 + np.maximum(1.2 * content, 0), slices)
    a.paint("gas", "gas", np.maximum(loops + 4, (1.7 - s.value(patient.nodules) - y / 110) * 6), slices)
    points, radii = patient.colon()
    colon = np.maximum(tube(s.p, points, radii) + 1.6 * content, s.cavity + 2)
    a.paint("bowel wall", "bowel", colon, slices)
    a.paint("feces", "bowel", colon + 2.2, slices)
    a.paint("gas", "gas", np.maximum(colon + 3.2, (1.1 - s.value(patient.lobules) - y / 60) * 9), slices)
    bladder = ellipsoid(s.p, (0, 20, -285), (36, 30, 32))
    a.paint("muscle", "bladder", bladder, slices)
    a.paint("water", "bladder", bladder + 3, slices)


def _paint_ascites(a: Anatomy, s: Space) -> None:
    if a.patient.par.ascites_mL > 0:
        a.paint("ascites", "ascites", a.patient.ascites_depth(s) - np.float32(a.patient.ascites_level))


def _paint_vessels(a: Anatomy, s: Space) -> None:
    patient = a.patient
    tubes = patient.vessels()
    part = _part(s, (-110, -60, 95), (80, 110, ABOVE))
    if part is not None:
        q, slices = part
        m = patient.jitter[23] * 4
        above = 1.5 - patient.diaphragm(q)
        heart = smooth_max(ellipsoid(q.p, np.array([-26, 32, 146]) + m, (66, 46, 52)), above, 6)
        heart = np.maximum(heart, q.cavity + 4)
        a.paint("muscle", "heart", heart, slices)
        a.paint("myocardium", "heart", heart + 3, slices)
        left = ellipsoid(q.p, np.array([-44, 26, 146]) + m, (34, 25, 30))
        right = ellipsoid(q.p, np.array([10, 42, 150]) + m, (26, 28, 34))
        a.paint("aorta", "heart", np.maximum(left, heart + 8), slices)
        a.paint("vena cava", "heart", np.maximum(right, heart + 5), slices)
    _paint_tube(a, s, "esophagus wall", "esophagus", *tubes["esophagus"])
    _paint_tube(a, s, "gas", "esophagus", tubes["esophagus"][0], [2.5, 2.5, 1.5, 0.5, 0.5])
    for name in ("left iliac vein", "right iliac vein"):
        _paint_tube(a, s, "vena cava", "vessel", *tubes[name])
    for name in ("left iliac", "right iliac"):
        _paint_tube(a, s, "aorta", "vessel", *tubes[name])
    _paint_tube(a, s, "vena cava", "inferior vena cava", *tubes["vena cava"])
    _paint_tube(a, s, "muscle", "muscle", [(-30, -25, 55), (-42, -28, 42), (-36, -30, 34)], [3, 3.5, 3])
    _paint_tube(a, s, "muscle", "muscle", [(34, -22, 52), (40, -34, 36)], [3, 3])


def _paint_tube(a: Anatomy, s: Space, material: str, label: str, points, radii, ripple: float = 0.0) -> None:
    array = np.asarray(points, float)
    part = _part(s, array.min(0) - max(radii), array.max(0) + max(radii))
    if part is not None:
        d = tube(part[0].p, array, radii)
        a.paint(material, label, d + ripple * part[0].value(a.patient.fine) if ripple else d, part[1])


def _paint_viscera(a: Anatomy, s: Space) -> None:
    patient = a.patient
    par, tubes = patient.par, patient.vessels()
    _paint_tube(a, s, "pancreas", "pancreas", *tubes["pancreas"], ripple=1.6)
    _paint_tube(a, s, "aorta", "aorta", *tubes["aorta"])
    _paint_stomach(a, s)
    _paint_liver(a, s)
    _paint_tube(a, s, "visceral fat", "fat", [(14, 62, -20), (16, 50, 20), (18, 40, 44)], [5, 3, 1.5])
    points, radii = tubes["vena cava"]
    _paint_tube(a, s, "vena cava", "inferior vena cava", points[2:], radii[2:])
    _paint_tube(a, s, "visceral fat", "fat", [(34, 12, 32), (58, 8, 44)], [9, 5])
    for name in ("mesenteric", "splenic vein", "portal"):
        _paint_tube(a, s, "portal vein", "portal and splenic vein", *tubes[name])
    part = _part(s, (20, 0, -80), (110, 110, 30))
    if part is not None:
        center = np.array([58, 46, -26]) + patient.jitter[22] * 6
        bladder = ellipsoid(part[0].p, center, np.array([15, 17, 32]) * (1 + 0.15 * patient.jitter[21, 0]))
        a.paint("gallbladder wall", "gallbladder", bladder, part[1])
        a.paint("bile", "gallbladder", bladder + 1.5, part[1])
    _paint_kidneys(a, s)
    if par.spleen_mL > 0:
        part = _part(s, (-175, -120, patient.spleen_z[0] - 12), (90, 110, 150))
        if part is not None:
            a.paint("spleen", "spleen", patient.spleen(part[0]), part[1])


def _paint_liver(a: Anatomy, s: Space) -> None:
    part = _part(s, (-160, -115, -190), (170, 120, 150))
    if part is None:
        return
    s, slices = part
    liver, tubes = a.patient.liver(s), a.patient.vessels()
    a.paint("liver", "liver", liver, slices)
    for name in ("right hepatic", "middle hepatic", "left hepatic", "right portal", "anterior portal", "left portal"):
        vessel = np.maximum(tube(s.p, *tubes[name]), liver + 3)
        a.paint("hepatic vein" if name.endswith("hepatic") else "portal vein", "liver", vessel, slices)


def _paint_kidneys(a: Anatomy, s: Space) -> None:
    patient = a.patient
    for side, name in ((1, "right kidney"), (-1, "left kidney")):
        center, radii, _ = patient.right_kidney() if side > 0 else patient.left_kidney()
        part = _part(s, center - max(radii), center + max(radii))
        if part is None:
            continue
        kidney, sinus = patient.kidney(part[0], side)
        a.paint("visceral fat", "fat", sinus, part[1])
        a.paint("urine", "vessel", sinus + 6, part[1])
        a.paint("renal cortex", name, kidney, part[1])
        pyramids = kidney + 6.5 + 3 * np.maximum(part[0].value(patient.nodules), 0)
        a.paint("renal medulla", name, pyramids, part[1])
        _paint_tube(
            a, s, "vena cava", "vessel", [(side * 20 + 4, -10, 4), center + np.array([-side * 12, 4, 0])], [4.5, 4]
        )


def _paint_stomach(a: Anatomy, s: Space) -> None:
    patient = a.patient
    part = _part(s, (-150, -90, -90), (80, 130, 140))
    if part is None:
        return
    q, slices = part
    d = patient.stomach(q)
    d = np.maximum(smooth_max(d, q.cavity + 5, 4), patient.diaphragm(q) + 4)
    wall = 4.5 - 1.5 * patient.par.stomach_fill
    a.paint("bowel wall", "stomach", d + 0.8 * q.value(patient.fine), slices)
    a.paint(
        "stomach " + patient.par.stomach_content,
        "stomach",
        d + wall + np.maximum(1.5 * q.value(patient.fine), 0),
        slices,
    )
    level = 58 - 44 * (patient.par.stomach_content == "gas") - 18 * patient.phase
    a.paint("gas", "stomach", np.maximum(d + wall + 1, level - q.p[1]), slices)
