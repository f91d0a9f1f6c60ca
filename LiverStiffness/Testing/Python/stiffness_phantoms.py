"""What LiverStiffness's tests share: a small simulated patient, images that were read by hand, and drawn models."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from phantoms import Ellipsoid

from LiverStiffnessLib.labels import ASCITES, LIVER, SPLEEN, THRESHOLDS_KPA
from LiverStiffnessLib.measuring.ordinal import COVARIATES, OrdinalModel, SliceInput
from LiverStiffnessLib.measuring.readout import MODELS, Readout
from LiverStiffnessLib.segmenting.network import FEATURES, PIXEL_MM, SLAB_MM
from LiverStiffnessLib.segmenting.reading import ReadImage
from LiverStiffnessLib.simulation.protocols import Protocol
from LiverStiffnessLib.simulation.scan import LiverLook, SimulatedImage, simulate_images
from LiverStiffnessLib.simulation.tissues import LiverState, Sequence
from PrognosisLib.simulation.anatomy import AbdomenParameters
from PrognosisLib.simulation.shapes import rotation
from PrognosisLib.slicewise.evidence import SliceEvidence
from PrognosisLib.slicewise.lattice import to_slices
from PrognosisLib.slicewise.network import SMALLEST_SUM, pooled
from PrognosisLib.volume import Grid, Volume

# --- a simulated patient ----------------------------------------------------------------------------------------------

# A small child: a third of an adult's voxels, so it is drawn in a third of a second.
CHILD = AbdomenParameters(
    width_scale=0.7,
    depth_scale=0.7,
    height_scale=0.7,
    subcutaneous_fat_mm=8.0,
    visceral_fat=0.4,
    spleen_mL=110.0,
    liver_mL=520.0,
    lobe_shift=0.05,
    nodularity_mm=0.3,
)
PLAIN = LiverLook(LiverState(0.02, 0.0, 0.0), texture=0.03, uneven=0.02)
T2 = Sequence("T2", 4000.0, 85.0)
T2_SUPPRESSED = replace(T2, fat_suppression=0.92)
T1 = Sequence("T1", 150.0, 4.6, 70.0)
T1_OPPOSED = replace(T1, echo=2.3, opposed=True)
DIFFUSION = replace(T2, kind="other", fat_suppression=0.95, artery=0.05, vein=0.1)
PROTOCOL = Protocol(
    site="A",
    year=2017,
    tesla=1.5,
    t2=T2,
    t1=T1,
    pixel_mm=(2.0, 2.4),
    step_mm=(6.0, 5.0),
    thickness_mm=(6.0, 5.0),
    field_of_view_mm=(224.0, 230.0),
    noise=0.02,
    shading=0.0,
    ghost=0.0,
    breathing_mm=(0.0, 0.0, 0.0),
)
SEED = 5


@cache
def simulated(
    sequences: tuple[Sequence, ...] = (T2,),
    parameters: AbdomenParameters = CHILD,
    look: LiverLook = PLAIN,
    protocol: Protocol = PROTOCOL,
    seed: int = SEED,
) -> list[SimulatedImage]:
    """One image for each sequence; the same anatomy and noise for the same seed."""
    return simulate_images(parameters, look, protocol, sequences, seed)


# --- images as the network would have read them -----------------------------------------------------------------------

LIVER_SHAPE = Ellipsoid((52.0, 6.0, 10.0), (58.0, 66.0, 55.0))
SPLEEN_SHAPE = Ellipsoid((-72.0, -24.0, 18.0), (24.0, 34.0, 44.0))
GRAYS = {"T2": {LIVER: 0.4, SPLEEN: 1.6}, "T1": {LIVER: 1.2, SPLEEN: 0.3}, "other": {LIVER: 0.5, SPLEEN: 1.9}}
ORDER = ("T2", "T1", "other")


def scan_grid(
    spacing: tuple[float, float, float] = (2.0, 2.0, 7.0),
    extent_mm: tuple[float, float, float] = (280.0, 200.0, 168.0),
    flips: tuple[bool, bool, bool] = (False, False, False),
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0),
    order: tuple[int, int, int] = (0, 1, 2),
    center: tuple[float, float, float] = (0.0, 0.0, 10.0),
) -> Grid:
    """A lattice over the upper abdomen: turned about its middle (degrees), its axes flipped, then put in an order."""
    columns = rotation(turn) @ np.diag(spacing) * np.where(flips, -1.0, 1.0)
    size = np.round(np.array(extent_mm) / spacing).astype(int)[list(order)]
    columns = columns[:, order]
    matrix = np.eye(4)
    matrix[:3, :3] = columns
    matrix[:3, 3] = np.array(center) - columns @ ((size - 1) / 2)
    return Grid(tuple(int(n) for n in size[::-1]), matrix)


def moved(shape: Ellipsoid, shift: tuple[float, float, float] | np.ndarray) -> Ellipsoid:
    return replace(shape, center=tuple(float(v) for v in np.add(shape.center, shift)))


def margin_in(shape: Ellipsoid | None, grid: Grid, softness_mm: float = 1.5) -> np.ndarray:
    """Log-odds (k, j, i) of a network that is sure but for a rim of the shape; -20 everywhere for None."""
    if shape is None:
        return np.full(grid.shape, -20.0, np.float32)
    kji = np.indices(grid.shape).reshape(3, -1).T
    away = (grid.to_ras(kji) - shape.center) / shape.radii
    depth = (1.0 - np.linalg.norm(away, axis=1)) * min(shape.radii)
    return np.clip(depth / softness_mm, -20, 20).astype(np.float32).reshape(grid.shape)


def read_by_hand(
    scan: Grid,
    liver: Ellipsoid | None = LIVER_SHAPE,
    spleen: Ellipsoid | None = SPLEEN_SHAPE,
    sequence: str = "T2",
    sure: float = 0.98,
    gray: str = "",
    fluid: Ellipsoid | None = None,
    seed: int = 0,
) -> ReadImage:
    """What the network would see of these shapes in a scan on this lattice, with features drawn at random.

    Args:
        sequence, sure: what the network takes the image for, and how likely.
        gray: sequence whose brightness the organs have, where that is another one.
    """
    empty = Volume(np.zeros(scan.shape, np.float32), scan.ijk_to_ras, "MR", "by hand")
    slices = to_slices(empty, SLAB_MM, PIXEL_MM)
    grid = slices.grid
    margins = {LIVER: margin_in(liver, grid), SPLEEN: margin_in(spleen, grid), ASCITES: margin_in(fluid, grid)}
    values = np.full(grid.shape, -1.0, np.float32)
    for label, value in GRAYS[gray or sequence].items():
        values[margins[label] > 0] = value
    chance = np.full(len(ORDER), (1.0 - sure) / 2)
    chance[ORDER.index(sequence)] = sure
    share = pooled(1 / (1 + np.exp(-margins[LIVER])))
    maps = np.random.default_rng([seed, 3]).random((len(share), FEATURES, *share.shape[1:]), dtype=np.float32)
    features = np.einsum("sji,sfji->sf", share, maps) / (share.sum(axis=(1, 2)) + SMALLEST_SUM)[:, None]
    evidence = SliceEvidence(features, grid.ijk_to_ras, grid.shape)
    return ReadImage(Volume(values, grid.ijk_to_ras, "MR"), margins, chance, evidence, maps, share)


# --- readings ---------------------------------------------------------------------------------------------------------


def a_model(
    sequences: tuple[str, ...] = ("T2", "T1"), seed: int = 0, features: int = FEATURES, error_sd: float = 0.1
) -> OrdinalModel:
    """A reading with drawn weights, two heads and rising offsets."""
    rng = np.random.default_rng([seed, 4])
    return OrdinalModel(
        sequences,
        {name: 0.3 * rng.normal(size=(2, features)) for name in sequences},
        {name: 0.5 * rng.normal(size=(2, features)) for name in sequences},
        {name: 0.2 * rng.random(features) for name in sequences},
        np.array([5.4, 7.3, 0.2]),
        np.array([0.9, -0.4, 0.3]),
        np.cumsum(rng.uniform(0.3, 1.2, len(THRESHOLDS_KPA))),
        np.array([-4.0, -1.0, 0.0, 1.5, 4.0]),
        np.log([1.9, 2.2, 2.8, 3.9, 7.5]),
        0.16,
        error_sd,
    )


def slices_of(seed: int = 0, count: int = 9, features: int = FEATURES) -> SliceInput:
    """Slices with liver, of which the last one shows too little of it."""
    rng = np.random.default_rng([seed, 5])
    areas = rng.uniform(900, 15000, count)
    areas[-1] = 120.0
    return SliceInput(rng.normal(size=(count, features)), areas)


def known_covariates() -> np.ndarray:
    return np.array([5.8, 7.1, 0.4])[: len(COVARIATES)]


def a_readout(simulated_cohort: bool = True, figures: bool = True) -> Readout:
    """One drawn reading for both sequences and one for each, with made-up test figures."""
    estimate = {"value": 0.81, "lower": 0.76, "upper": 0.86}
    one = {
        "auc": estimate,
        "auc_oracle": {**estimate, "value": 0.9},
        "n": 500,
        "point": 0.4,
        "sensitivity": estimate,
        "specificity": {"value": 0.7, "lower": 0.6, "upper": 0.8},
    }
    every = {f"{t:g}": one for t in THRESHOLDS_KPA}
    models = {name: a_model(sequences, seed) for seed, (name, sequences) in enumerate(MODELS.items())}
    return Readout(models, dict.fromkeys(MODELS, every) if figures else {}, simulated_cohort, 0.6)
