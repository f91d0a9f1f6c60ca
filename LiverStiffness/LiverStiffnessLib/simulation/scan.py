"""MR image formation: one drawn anatomy, two (or three) sequences, each on its own grid with its own noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.simulation.anatomy import LABELS, AbdomenParameters, Anatomy, build_anatomy
from PrognosisLib.simulation.organs import Patient
from PrognosisLib.simulation.sampling import apply_weights, centered, label_by_weights, slab_weights, to_canonical
from PrognosisLib.simulation.shapes import Grid, RandomField, ellipsoid, rotation
from PrognosisLib.volume import Volume

from ..labels import ASCITES, LIVER, SPLEEN
from .protocols import Protocol
from .tissues import TISSUES, LiverState, Sequence, draw_variation, signals

DRAWN_MM = (2.0, 2.0, 5.0)  # the anatomy is drawn on this grid (i, j, k)
LOW, HIGH = -118.0, 138.0  # ends of the examination along the patient, canonical frame
SEPTA_MM, MOTTLE_MM, COARSE_MM = (12, 22), (6, 14), (26, 70)
SEPTUM_WIDTH = 0.35  # of the random field's standard deviations about zero
CLASS_OF = {LABELS["liver"]: LIVER, LABELS["spleen"]: SPLEEN, LABELS["ascites"]: ASCITES}


@dataclass(frozen=True)
class LiverLook:
    """What the liver shows beside its shape.

    Args:
        state: fat, iron and T2 prolongation.
        texture: contrast of the septa, share of the liver's signal.
        uneven: unevenness of fat, share of the liver's signal.
        lesions: cysts and solid lesions.
    """

    state: LiverState
    texture: float = 0.035
    uneven: float = 0.02
    lesions: int = 0


@dataclass(frozen=True)
class SimulatedImage:
    """One sequence: magnitude image (arbitrary units) and its label map (classes of labels.py) on one grid."""

    volume: Volume
    labels: Volume


def simulate_images(
    parameters: AbdomenParameters, look: LiverLook, protocol: Protocol, sequences: tuple[Sequence, ...], seed: int
) -> list[SimulatedImage]:
    """One image for each sequence; equal arguments give equal results.

    The first image is taken with the T2's grid, all others with the T1's and after the breathing shift.
    """
    patient = Patient(parameters, seed)
    pose = rotation(parameters.tilt_degrees) @ np.diag(patient.scale)
    center = pose @ np.array([0.0, -14.0, 0.5 * (LOW + HIGH)])
    wide = max(protocol.field_of_view_mm) + 16.0
    extent = np.array([wide, 0.8 * wide, (HIGH - LOW) * parameters.height_scale + 2 * abs(protocol.breathing_mm[2])])
    fine_size = np.ceil(extent / DRAWN_MM).astype(int)
    fine = centered(fine_size, DRAWN_MM, center)
    grid = Grid(tuple(int(n) for n in fine_size[::-1]), to_canonical(fine, pose))
    anatomy = build_anatomy(patient, grid, float(np.prod(DRAWN_MM)) / 1000.0)
    rng = np.random.default_rng([seed, 31])
    _paint_lesions(anatomy, look.lesions, rng)
    clean = _signals_on(anatomy, look, protocol, sequences, rng)
    images = []
    for number, signal in enumerate(clean):
        first = number == 0
        images.append(_take(signal, anatomy, fine_size, center, parameters, protocol, first, rng))
    return images


def _paint_lesions(anatomy: Anatomy, count: int, rng: np.random.Generator) -> None:
    """Round lesions inside the liver; they are part of it."""
    liver = np.argwhere(anatomy.labels == LABELS["liver"])
    for _ in range(count if len(liver) else 0):
        k, j, i = liver[rng.integers(len(liver))]
        place = anatomy.space.grid.matrix @ [i, j, k, 1]
        radius = float(np.exp(rng.uniform(np.log(4), np.log(20))))
        inside = np.maximum(
            ellipsoid(anatomy.space.p, place[:3], np.full(3, radius) * rng.uniform(0.8, 1.2, 3)),
            4.0 - 8.0 * (anatomy.labels == LABELS["liver"]),
        )
        anatomy.paint("cyst" if rng.random() < 0.5 else "solid lesion", "liver", inside.astype(np.float32))


def _signals_on(
    anatomy: Anatomy, look: LiverLook, protocol: Protocol, sequences: tuple[Sequence, ...], rng: np.random.Generator
) -> list[np.ndarray]:
    """Noise-free signal (k, j, i) of each sequence on the drawn grid, layer by layer."""
    variation = draw_variation(rng)
    tables = [signals(one, protocol.tesla, look.state, variation) for one in sequences]
    space = anatomy.space
    septa, mottle = RandomField(rng, SEPTA_MM, 64), RandomField(rng, MOTTLE_MM, 64)
    coarse = RandomField(rng, COARSE_MM, 32)
    out = [np.zeros(anatomy.labels.shape, np.float32) for _ in sequences]
    for layer in anatomy.layers:
        share = layer.coverage.astype(np.float32) / np.float32(255)
        spread = np.float32(TISSUES[layer.material][4])
        rough = space.value(coarse if spread < 0.2 else mottle)[layer.slices] if spread else np.float32(0)
        rough = np.maximum(1 + spread * rough, np.float32(0.05))
        net = None
        if layer.material == "liver":
            net = septal_net(space.value(septa)[layer.slices])
            rough = rough + np.float32(look.uneven) * space.value(coarse)[layer.slices]
        for sequence, table, signal in zip(sequences, tables, out, strict=True):
            value = np.float32(table[layer.material]) * rough
            if net is not None:
                value = value * (1 + np.float32(look.texture * (-0.7 if sequence.kind == "T1" else 1.0)) * net)
            view = signal[layer.slices]
            view += share * (value - view)
    scales = [max(table["liver"], 0.15 * table["spleen"]) for table in tables]
    return [signal / np.float32(scale) for signal, scale in zip(out, scales, strict=True)]


def septal_net(field: np.ndarray) -> np.ndarray:
    """Walls of a net, 1 on them, with mean zero: where a random field is near zero."""
    walls = np.exp(-((field / np.float32(SEPTUM_WIDTH)) ** 2))
    return walls - np.float32(walls.mean())


def _take(
    signal: np.ndarray,
    anatomy: Anatomy,
    fine_size: np.ndarray,
    center: np.ndarray,
    parameters: AbdomenParameters,
    protocol: Protocol,
    first: bool,
    rng: np.random.Generator,
) -> SimulatedImage:
    """One sequence's image of the drawn signal: sampled, shaded, ghosted, noisy."""
    number = 0 if first else 1
    wide, pixel = protocol.field_of_view_mm[number], protocol.pixel_mm[number]
    step = np.array([pixel, pixel, protocol.step_mm[number]])
    extent = np.array([wide, 0.78 * wide, (HIGH - LOW) * parameters.height_scale])
    size = np.maximum(1, np.floor(extent / step)).astype(int)
    shift = np.zeros(3) if first else np.array(protocol.breathing_mm)
    weights = []
    for axis, direction in enumerate((-1.0, -1.0, 1.0)):
        middle = 0.5 * fine_size[axis] * DRAWN_MM[axis] - direction * shift[axis]
        centers = middle + (np.arange(size[axis]) - (size[axis] - 1) / 2) * step[axis]
        thickness = protocol.thickness_mm[number] if axis == 2 else pixel
        weights.append(slab_weights(centers, thickness, int(fine_size[axis]), DRAWN_MM[axis]))
    image = apply_weights(signal, weights)
    labels = label_by_weights(anatomy.labels, anatomy.context, weights)
    matrix = centered(size, step, center)
    image = disturb(image, matrix, protocol, rng)
    classes = np.zeros(256, np.uint8)
    classes[list(CLASS_OF)] = list(CLASS_OF.values())
    gain = float(np.exp(rng.uniform(np.log(60), np.log(600))))
    stored = np.clip(np.rint(image * gain), 0, 32000).astype(np.int16)
    return SimulatedImage(Volume(stored, matrix, "MR"), Volume(classes[labels], matrix, "labels"))


def disturb(image: np.ndarray, matrix: np.ndarray, protocol: Protocol, rng: np.random.Generator) -> np.ndarray:
    """Coil shading, ghosts of breathing along j, and Rician noise; the liver's clean signal is about 1."""
    field = RandomField(rng, (260, 620), 12).on(Grid(image.shape, matrix))
    image = image * np.exp(np.float32(protocol.shading) * field)
    if protocol.ghost > 0:
        for order in (1, 2):
            step = order * int(rng.uniform(12, 30))
            image[:, step:] += np.float32(rng.choice([-1, 1]) * protocol.ghost / order) * image[:, :-step]
    noise = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(protocol.noise)
    return np.hypot(image + noise[0], noise[1])
