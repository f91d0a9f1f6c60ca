"""What the tests of the ultrasound simulator share: small media of a few tissues, probes of few lines, frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from PrognosisLib.simulation.shapes import Grid
from PrognosisLib.simulation.ultrasound.formation import Beamformer, LiverState, Machine, PolarFrame, form_frame
from PrognosisLib.simulation.ultrasound.medium import CHANNELS, FAR, Medium
from PrognosisLib.simulation.ultrasound.probe import ConvexProbe, Pose
from PrognosisLib.simulation.ultrasound.tissues import CODES

# Looks down along z; lines are numbered along x.
DOWN = Pose(np.zeros(3), np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]))
# Nearly parallel lines, 1.1 mm apart, so that a flat layer lies at one depth on all of them; and a usual probe.
PROBE = ConvexProbe(2000.0, 1.0, 80.0, 3.5, lines=64, samples=208)
CURVED = ConvexProbe(60.0, 30.0, 80.0, 3.5, lines=64, samples=208)
# No noise, no reverberation, no compounding, hardly any blur: what is left is tissue.
BARE = Machine(noise=-200.0, reverberation=0.0, looks=1, tgc=0.5, persistence=0.0)
STILL = np.zeros(3)


def medium(tissue: np.ndarray, step: float = 1.0, origin=(0.0, 0.0, 0.0), **fields: np.ndarray) -> Medium:
    """Tissue codes (k, j, i) of voxels of `step` mm; fields that are not given are far away or zero."""
    matrix = np.diag([step, step, step, 1.0])
    matrix[:3, 3] = origin
    usual = {"liver": FAR, "portal": FAR, "veins": FAR, "chest": FAR, "bone": FAR, "layers": -FAR, "texture": 0.0}
    stack = [np.broadcast_to(fields.get(name, usual[name]), tissue.shape) for name in CHANNELS]
    return Medium(Grid(tissue.shape, matrix), tissue, np.stack(stack, axis=-1).astype(np.float32))


def layered(*parts: tuple[str, int], **fields: np.ndarray) -> Medium:
    """Flat layers under the face, (name, mm) each from z = 0 on; the last one goes on for ever. Fields are (mm,)."""
    codes = np.concatenate([np.full(mm, CODES[name], np.uint8) for name, mm in parts])
    fields = {"liver": np.where(codes == CODES["liver"], -FAR, FAR), **fields}
    return medium(
        np.broadcast_to(codes[:, None, None], (len(codes), 2, 2)).copy(),
        **{name: np.asarray(values)[:, None, None] for name, values in fields.items()},
    )


def homogeneous(name: str = "liver") -> Medium:
    """The same tissue everywhere."""
    return layered((name, 2))


def frame(
    inside: Medium,
    machine: Machine = BARE,
    state: LiverState | None = None,
    probe: ConvexProbe = PROBE,
    pose: Pose = DOWN,
    motion: np.ndarray = STILL,
    seed: int = 0,
) -> PolarFrame:
    """One frame."""
    rng = np.random.default_rng(seed)
    return form_frame(inside, state or LiverState(), Beamformer(probe, machine), pose, motion, rng)


def deeper(pose: Pose, across_mm: float) -> Pose:
    """The pose moved across its plane."""
    return replace(pose, face=pose.face + across_mm * np.cross(pose.forward, pose.lateral))


def band(values: np.ndarray, low_mm: float, high_mm: float, probe: ConvexProbe = PROBE) -> np.ndarray:
    """The samples of those depths, (lines, samples)."""
    return values[:, (probe.depths >= low_mm) & (probe.depths < high_mm)]


def level(values: np.ndarray) -> float:
    """Mean power of amplitudes in dB, again in dB."""
    return float(10 * np.log10(np.mean(10 ** (values / 10))))
