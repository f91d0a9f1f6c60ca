"""An analytic patient (a bright ellipsoid for the spleen, a dark one for the liver) and networks that see just that.

The networks are real ones, in a real bundle, run by the real backends: only their weights are set by hand, so that
everything around them can be tested against volumes known from a formula.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.volume import Grid, Volume

BODY_HU, SPLEEN_HU, LIVER_HU = 0, 140, -60
# Halfway between the organ and the body, where a mask of the right volume has its border.
SPLEEN_EDGE_HU, LIVER_EDGE_HU = 70.0, -30.0
METADATA_INTERVAL = {"logit": 1.0, "boundary_mm": 0.4, "level": 0.95, "n": 5, "covers_when_left_out": "5 of 5"}


@dataclass(frozen=True)
class Ellipsoid:
    """Center in RAS and half axes along R, A, S, in mm."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]

    @property
    def volume_ml(self) -> float:
        return 4.0 / 3.0 * np.pi * float(np.prod(self.radii)) / 1000.0

    def share(self, grid: Grid) -> np.ndarray:
        """How much of every voxel is inside, 0..1, float32 (k, j, i); right to a few percent at the border."""
        out = np.empty(grid.shape, dtype=np.float32)
        j, i = np.meshgrid(np.arange(grid.shape[1]), np.arange(grid.shape[2]), indexing="ij")
        plane = np.stack([i, j], axis=-1) @ grid.ijk_to_ras[:3, :2].T + grid.ijk_to_ras[:3, 3] - self.center
        # The change of the scaled radius over one voxel turns its distance from 1 into a share of the voxel.
        scale = np.asarray(self.radii)
        for k in range(grid.shape[0]):
            unit = (plane + k * grid.ijk_to_ras[:3, 2]) / scale
            radius = np.sqrt((unit**2).sum(axis=-1))
            normal = unit / np.maximum(radius, 1e-6)[..., None] / scale
            width = np.abs(normal @ grid.ijk_to_ras[:3, :3]).max(axis=-1)
            out[k] = np.clip(0.5 - (radius - 1.0) / np.maximum(width, 1e-6), 0.0, 1.0)
        return out


SPLEEN = Ellipsoid((-85.0, -20.0, 30.0), (32.0, 38.0, 46.0))
LIVER = Ellipsoid((60.0, 10.0, 35.0), (62.0, 60.0, 48.0))


def scan(
    grid: Grid, spleens: Sequence[Ellipsoid] = (SPLEEN,), livers: Sequence[Ellipsoid] = (LIVER,), name: str = "phantom"
) -> Volume:
    """The patient on this lattice, int16 HU; border voxels hold the mean of what they cover."""
    hu = np.full(grid.shape, float(BODY_HU), dtype=np.float32)
    for organs, value in ((livers, LIVER_HU), (spleens, SPLEEN_HU)):
        for organ in organs:
            hu += (value - BODY_HU) * organ.share(grid)
    return Volume(np.rint(hu).astype(np.int16), grid.ijk_to_ras, "CT", name)


def axial_grid(spacing: tuple[float, float, float] = (3.0, 3.0, 3.0), low: float = -60.0, high: float = 120.0) -> Grid:
    """R-A-S lattice over the patient: 300 mm wide, 180 mm deep, from `low` to `high` mm."""
    extent = np.array([300.0, 180.0, high - low])
    size = np.round(extent / spacing).astype(int)
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = np.array([-150.0, -90.0, low]) + np.array(spacing) / 2.0
    return Grid(tuple(int(n) for n in size[::-1]), matrix)


@dataclass
class Thresholds:
    """The same decision as the bundle's networks, without any runtime: logits of background, spleen and liver."""

    device: str = "thresholds"
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        self.shapes.append(image.shape[2:])
        hu = image * 200.0 + 75.0
        spleen = (hu - SPLEEN_EDGE_HU) * 0.12
        liver = 0.2 * (abs(LIVER_HU - LIVER_EDGE_HU) - np.abs(hu - LIVER_HU))
        return np.concatenate([np.zeros_like(hu), spleen, liver], axis=1).astype(np.float32)


def thresholding_network() -> Any:
    """`Thresholds` as a torch network with the first and last layer's names of the real one."""
    import torch
    from torch import nn

    network = nn.Sequential()
    network.add_module("stem", nn.Conv3d(1, 3, 1))
    network.add_module("relu", nn.ReLU())
    network.add_module("head", nn.ConvTranspose3d(3, 3, 1))
    center = (LIVER_HU - 75.0) / 200.0
    half = abs(LIVER_HU - LIVER_EDGE_HU) / 200.0
    with torch.no_grad():
        # Features: x + 2 (never negative, so linear), and both halves of |x - center|.
        network.stem.weight.copy_(torch.tensor([1.0, 1.0, -1.0]).view(3, 1, 1, 1, 1))
        network.stem.bias.copy_(torch.tensor([2.0, -center, center]))
        network.head.weight.zero_()
        network.head.weight[0, 1] = 24.0
        network.head.weight[1:, 2] = -40.0
        network.head.bias.copy_(torch.tensor([0.0, -24.0 * (2.0 + (SPLEEN_EDGE_HU - 75.0) / 200.0), 40.0 * half]))
    return network.eval()


@cache
def _risk_models() -> dict[str, str]:
    from SpleenVolumeLib.outcomes import fit_outcomes

    fitted = fit_outcomes(n=300, seed=6, oracle_n=4000)
    return {f"models/{name}.json": json.dumps(model) for name, model in fitted.items()}


def threshold_bundle(folder: Path) -> Path:
    """A whole spleen bundle with `thresholding_network` as both networks and risk models of 300 simulated patients."""
    from PrognosisLib.bundles.bundle import image_format, segmentation_format, write_bundle
    from PrognosisLib.bundles.export import export_onnx
    from SpleenVolumeLib.network import CLASSES, COARSE, FINE

    models = folder.parent / f"{folder.name}-made"
    models.mkdir(parents=True)
    files: dict[str, Path | str] = dict(_risk_models())
    for stage in (COARSE, FINE):
        graph, weights = models / f"{stage.name}.onnx", models / f"{stage.name}.safetensors"
        export_onnx(thresholding_network(), graph, weights, (1, 1, 16, 16, 16))
        files |= {f"models/{graph.name}": graph, f"models/{weights.name}": weights}
    files |= {"LICENSE": "Apache-2.0\n", "docs/README.md": "# Thresholds\n", "docs/data_license.txt": "None.\n"}
    metadata: Mapping[str, Any] = {
        "name": "Thresholds for tests",
        "version": "0.0.1",
        "system": "spleen",
        "network_data_format": {
            "inputs": {"image": image_format("CT", ["CT"], FINE.multiple, [-1, 1])},
            "outputs": {"pred": segmentation_format(CLASSES, FINE.multiple)},
        },
        "interval": METADATA_INTERVAL,
        "training": {"cohort": {"simulated": {"segmentation": True, "risk": True}}},
    }
    return write_bundle(folder, metadata, files, classes=len(CLASSES)).path
