"""A probe that is swept over the liver while the patient breathes: the pose and the motion at every time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .medium import STEP_MM, Medium
from .probe import Pose
from .tissues import CODES

PRESSED_MM = 6.0  # how far the face is pressed into the skin


@dataclass(frozen=True)
class Window:
    """A place of the abdomen to look through, canonical frame, mm.

    Args:
        target: (3,) what the middle line points at in the middle of the sweep.
        toward: (3,) direction from the target to the skin.
        right: (3,) what lies to the right on the screen.
        fan: degrees by which the probe is tilted from first to last frame.
        slide: mm by which it is moved across the plane meanwhile.
    """

    target: tuple[float, float, float]
    toward: tuple[float, float, float]
    right: tuple[float, float, float]
    fan: float
    slide: float


# Screen conventions: in transverse planes the patient's right is on the left of the screen, in sagittal ones the head.
WINDOWS = {
    "subcostal": Window((62.0, 5.0, 42.0), (0.10, 0.80, -0.58), (-1.0, 0.0, 0.0), 46.0, 6.0),
    "intercostal": Window((62.0, -6.0, 36.0), (0.97, 0.22, -0.02), (0.0, 0.94, -0.34), 34.0, 0.0),
    "sagittal": Window((40.0, 10.0, 30.0), (0.06, 0.96, -0.28), (0.0, 0.0, -1.0), 14.0, 60.0),
}


@dataclass(frozen=True)
class Sweep:
    """One sweep: the window with this operator's own aim, and how steady hand and breath are.

    Args:
        window: where the probe stands.
        aim_mm: (3,) how far the target is missed.
        turn: degrees by which the plane is rotated about the beam.
        tremor_mm, tremor_degrees: of the hand, slow random motion.
        breathing_mm: from breath in to breath out, along the body.
        breath_s: length of a breath.
        phase: of the breath at the first frame, 0..1.
        backward: from the sweep's end to its beginning.
        seed: of the hand's motion.
    """

    window: Window
    aim_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: float = 0.0
    tremor_mm: float = 0.6
    tremor_degrees: float = 0.4
    breathing_mm: float = 4.0
    breath_s: float = 4.5
    phase: float = 0.0
    backward: bool = False
    seed: int = 0

    @staticmethod
    def sample(rng: np.random.Generator, window: str | None = None) -> Sweep:
        """A random operator and patient."""
        name = window or str(rng.choice(list(WINDOWS), p=[0.5, 0.25, 0.25]))
        return Sweep(
            WINDOWS[name],
            tuple(float(a) for a in rng.normal(0, (8, 5, 8))),
            float(rng.normal(0, 9)),
            float(rng.uniform(0.2, 1.0)),
            float(rng.uniform(0.1, 0.8)),
            float(rng.uniform(0, 9)),
            float(rng.uniform(3, 6)),
            float(rng.uniform()),
            bool(rng.random() < 0.4),
            int(rng.integers(2**31)),
        )

    def poses(self, medium: Medium, count: int, duration_s: float) -> tuple[list[Pose], np.ndarray]:
        """The pose of each of `count` frames and the motion (count, 3) of the anatomy in mm."""
        window = self.window
        outward = _unit(np.array(window.toward))
        target = np.array(window.target) + self.aim_mm
        right = _unit(np.array(window.right) - np.dot(window.right, outward) * outward)
        right = _turned(right, outward, self.turn)
        across = np.cross(right, outward)  # the direction that the plane is moved along
        target = target + across * clear_of_ribs(medium, target, outward, right, across)
        skin = find_skin(medium, target, outward)
        progress = np.linspace(-0.5, 0.5, count) if count > 1 else np.zeros(1)
        progress = -progress if self.backward else progress
        shake = self._shake(count, duration_s)
        poses = []
        for share, (slip_r, slip_a, tilt, yaw) in zip(progress, shake, strict=True):
            angle = share * window.fan + tilt * self.tremor_degrees
            forward = _turned(-outward, right, angle)
            lateral = _turned(right, forward, yaw * self.tremor_degrees)
            face = skin + across * (share * window.slide + slip_a * self.tremor_mm) + right * slip_r * self.tremor_mm
            poses.append(Pose(face, forward, lateral))
        time = np.linspace(0, duration_s, count)
        breath = 0.5 * self.breathing_mm * (1 - np.cos(2 * np.pi * (time / self.breath_s + self.phase)))
        return poses, breath[:, None] * np.array([0.0, 0.15, -1.0])

    def _shake(self, count: int, duration_s: float) -> np.ndarray:
        """Slow random motion (count, 4) of about unit spread."""
        rng = np.random.default_rng([self.seed, 61])
        knots = max(3, int(duration_s * 3) + 2)
        values = rng.standard_normal((knots, 4))
        at = np.linspace(0, knots - 1, count)
        return np.stack([np.interp(at, np.arange(knots), column) for column in values.T], axis=1)


def find_skin(medium: Medium, target: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """Where the face stands: on the way out from the target, pressed a little into the skin."""
    steps = np.arange(0, 260, STEP_MM / 2)
    codes = medium.tissue_at((target + steps[:, None] * outward).astype(np.float32))
    out = np.flatnonzero(codes == CODES["outside"])
    away = steps[out[0]] if len(out) else steps[-1]
    return target + (away - PRESSED_MM) * outward


def clear_of_ribs(
    medium: Medium, target: np.ndarray, outward: np.ndarray, right: np.ndarray, across: np.ndarray
) -> float:
    """How far (mm, along `across`) an operator moves the plane to look between ribs rather than through one."""
    spread = np.linspace(-30, 30, 9)[:, None, None] * right
    depth = np.arange(0, 50, 2.0)[None, :, None] * -outward
    best, place = np.inf, 0.0
    for move in sorted(np.arange(-14.0, 15.0, 2.0), key=abs):
        skin = find_skin(medium, target + move * across, outward)
        bone = medium.fields_at((skin + spread + depth).astype(np.float32))["bone"].min(axis=1)
        hidden = float(np.mean(np.clip(1.5 - bone, 0, 3)))
        if hidden < best - 1e-3:
            best, place = hidden, float(move)
    return place


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _turned(vector: np.ndarray, axis: np.ndarray, degrees: float) -> np.ndarray:
    """A vector rotated about an axis (Rodrigues)."""
    angle = np.deg2rad(degrees)
    cross = np.cross(axis, vector)
    return vector * np.cos(angle) + cross * np.sin(angle) + axis * np.dot(axis, vector) * (1 - np.cos(angle))
