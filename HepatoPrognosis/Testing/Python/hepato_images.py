"""What HepatoPrognosis's tests of images share: films with a bright liver, and a bundle whose network sees bright ones.

The network is not trained: it calls liver what is bright after smoothing. It is exported as a trained one is, so that
ONNX Runtime runs it.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from HepatoPrognosisLib.labels import GROUPS, LAST_DAY, VARIANTS
from HepatoPrognosisLib.measuring.readout import Band, HepatoReadout, RiskGroup
from HepatoPrognosisLib.networks.catalog import NAME, OUTPUTS
from HepatoPrognosisLib.networks.head import PairHead
from HepatoPrognosisLib.predictors import BY_NAME, SIAMESE
from PrognosisLib.bundles.bundle import image_format, segmentation_format, write_bundle
from PrognosisLib.framewise.lattice import SHAPE
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times
from PrognosisLib.risk import CoxModel, Predictor

FRAME, PIXEL_MM = (240, 320), 0.8
WALL, TISSUE, LIVER_GRAY = 60.0, 45.0, 125.0
TAKEN_T0, TAKEN_T1 = datetime(2026, 1, 7, 9, 30), datetime(2026, 1, 12, 10, 0)
COHORT = {"name": "simulated test cohort", "simulated": True}
CLINICAL_SLOPES = {"log_inr": 1.5, "age": 0.03, "encephalopathy": 0.4}


def sector(shape: tuple[int, int] = FRAME) -> tuple[np.ndarray, np.ndarray]:
    """Bool (j, i) of a convex sector, and the depth under the face in mm."""
    j, i = np.indices(shape) * (FRAME[0] / shape[0])
    x, y = (i - FRAME[1] / 2) * PIXEL_MM, j * PIXEL_MM + 30.0
    radius, angle = np.hypot(x, y), np.arctan2(x, y)
    return (radius >= 50) & (radius <= 210) & (np.abs(angle) <= 0.6), radius - 50


def liver_area(
    size: float = 1.0, middle_mm: tuple[float, float] = (80.0, 0.0), shape: tuple[int, int] = FRAME
) -> np.ndarray:
    """Bool (j, i) of an ellipse; `middle_mm` is its depth and its place to the right of the middle."""
    j, i = np.indices(shape) * (FRAME[0] / shape[0])
    down, across = j * PIXEL_MM - 20.0 - middle_mm[0], (i - FRAME[1] / 2) * PIXEL_MM - middle_mm[1]
    return (down / (42 * size)) ** 2 + (across / (52 * size)) ** 2 <= 1


def frame(
    seed: int = 0,
    size: float = 1.0,
    gain: float = 0.0,
    brighter: float = 0.0,
    middle_mm: tuple[float, float] = (80.0, 0.0),
    has_liver: bool = True,
    shape: tuple[int, int] = FRAME,
) -> np.ndarray:
    """Speckle in a sector, with a brighter liver; `brighter` is of the liver alone, uint8 (j, i)."""
    from scipy.ndimage import gaussian_filter

    inside, depth = sector(shape)
    gray = np.where(depth < 18, WALL, TISSUE)
    if has_liver:
        gray = np.where(liver_area(size, middle_mm, shape), LIVER_GRAY + brighter, gray)
    speckle = gaussian_filter(np.random.default_rng([seed, 5]).standard_normal(shape), 1.0)
    gray = gray + gain + 10.0 * speckle / speckle.std()
    return np.where(inside, np.clip(np.rint(gray), 6, 255), 0).astype(np.uint8)


def film(*frames: np.ndarray, pixel_mm: float | None = PIXEL_MM, **more: Any) -> Cine:
    """A cine of such frames, or of a default one."""
    images = np.stack(frames or (frame(),))
    pixel = None if pixel_mm is None else (pixel_mm, pixel_mm)
    more = {"name": "film", "burned_in": False, **more}
    return Cine(ArrayFrames(images), steady_times(len(images), 0.04), pixel, **more)


def pair(**second: Any) -> dict[str, Cine]:
    """T0, and a T1 of five days later with a smaller and darker liver, in speckle of its own; by role."""
    how = {"seed": 1, "size": 0.9, "brighter": -12.0, **second}
    return {
        "t0": film(frame(), name="T0", taken=TAKEN_T0, patient="PatientID 12ab"),
        "t1": film(frame(**how), name="T1", taken=TAKEN_T1, patient="PatientID 12ab"),
    }


@cache
def quick_readout() -> HepatoReadout:
    """Made by hand, so that no cohort has to be fitted: two readings, three clinical values, hazards that level off."""
    clinical = tuple(BY_NAME[name].predictor for name in CLINICAL_SLOPES)
    days = np.arange(0.0, LAST_DAY + 1)
    falling = np.exp(-days / 60)
    bands = [Band(one, 0.9 * one, np.minimum(1.1 * one, 1.0)) for one in (falling, 1 - falling, 0.1 * (1 - falling))]
    group = RiskGroup(80, *bands)
    by_model = {"clinical": clinical, "siamese": SIAMESE, "combined": (*SIAMESE, *clinical)}
    return HepatoReadout(
        {name: _cox(name, those) for name, those in by_model.items()},
        {
            **{one.name: (-3.0, 3.0) for one in SIAMESE},
            "age": (24.0, 70.0),
            "log_inr": (0.3, 1.4),
            "encephalopathy": (0, 4),
        },
        dict.fromkeys(VARIANTS, (0.2, 0.5)),
        {name: dict.fromkeys(GROUPS, group) for name in VARIANTS},
        days,
        True,
    )


def _cox(name: str, predictors: tuple[Predictor, ...]) -> CoxModel:
    slopes = np.array(
        [{**CLINICAL_SLOPES, **dict.fromkeys((one.name for one in SIAMESE), 0.8)}[p.name] for p in predictors]
    )
    spread = np.array([{"age": 11.0, "log_inr": 0.3}.get(p.name, 1.0) for p in predictors])
    means = np.array([{"age": 46.0, "log_inr": 0.8}.get(p.name, 0.0) for p in predictors])
    times = np.arange(1.0, LAST_DAY + 1)
    hazard = 0.5 * -np.expm1(-times / 20)
    count = len(predictors)
    return CoxModel(
        name, "death", predictors, slopes, means, np.diag(0.02 / spread**2), np.diag(spread**2), 260, 110, COHORT,
        time_unit="days", times=times, baseline_hazard=hazard, hazard_variance=0.002 * hazard,
        hazard_mean=np.zeros((len(times), count)),
    )  # fmt: skip


def head(hidden: int = 4, seed: int = 3) -> PairHead:
    """Of the network below: four features, which rise with the gray value of the liver."""
    rng = np.random.default_rng(seed)
    return PairHead(
        center=np.full(4, 0.5),
        scale=np.full(4, 0.5),
        weights_t0=np.array([-0.6, 0.2, 0.1, 0.0]),
        bias_t0=0.1,
        weights_pair=np.array([-0.6, 0.2, 0.1, 0.0, -1.2, 0.3, 0.1, 0.0]),
        bias_pair=-0.2,
        inward=rng.normal(0, 0.3, (hidden, 8)),
        offset=rng.normal(0, 0.3, hidden),
        outward=rng.normal(0, 0.5, hidden),
        spread_t0=0.5,
        spread_pair=0.3,
    )


def gray_network() -> Any:
    """Liver is what is brighter than about 85 after smoothing; features are four bands of gray values there."""
    import torch
    from torch import nn

    from PrognosisLib.framewise.lattice import GRAY_OFFSET, GRAY_SCALE
    from PrognosisLib.slicewise.network import SMALLEST_SUM

    class GrayNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 1, 5, padding=2)
            self.head = nn.ConvTranspose2d(1, 2, 1)
            with torch.no_grad():
                self.stem.weight[:], self.stem.bias[:] = 1 / 25, 0.0
                self.head.weight[0, :, 0, 0] = torch.tensor([-12.0, 12.0])
                limit = 85 * GRAY_SCALE - GRAY_OFFSET
                self.head.bias[:] = torch.tensor([12.0 * limit, -12.0 * limit])

        def forward(self, image):
            smooth = self.stem(image)
            logits = self.head(smooth)
            chance = torch.softmax(logits, dim=1)[:, 1:]
            detection = 400.0 * (chance.mean(dim=(2, 3)) - 0.02)
            gray = nn.functional.avg_pool2d(image, 4)
            evidence = torch.cat([torch.relu(gray + shift) for shift in (0.8, 0.3, 0.0, -0.3)], dim=1)
            share = nn.functional.avg_pool2d(chance, 4)
            features = (share * evidence).sum(dim=(2, 3)) / (share.sum(dim=(2, 3)) + SMALLEST_SUM)
            return logits, detection, features, evidence

    return GrayNetwork()


def write_hepato_bundle(folder: Path) -> Path:
    """A bundle with that network, head and readout, and all that a bundle must have."""
    import json

    from PrognosisLib.bundles.export import network_files

    models = folder.with_name(f"{folder.name}-models")
    files = network_files(gray_network(), models, NAME, (2, 1, *SHAPE), OUTPUTS, "Simulated.\n")
    files |= {
        "docs/README.md": "# Test model\n",
        "models/heads.json": json.dumps(head().to_dict()),
        "models/prognosis.json": json.dumps(quick_readout().to_dict()),
    }
    metadata = {
        "name": "Test model",
        "version": "1.0.0",
        "system": "hepato",
        "network_data_format": {
            "inputs": {"image": image_format("US", ["frame"], 32, [-1, 2])},
            "outputs": {"pred": segmentation_format(["background", "Liver"], 32)},
        },
        "training": {"cohort": {"simulated": {"segmentation": True, "risk": True}}},
    }
    return write_bundle(folder, metadata, files, channels=1, classes=2).path
