"""Outcomes simulated on real images: the causal model applied to what a labeled real scan shows."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from PrognosisLib.cohort import CohortCase
from PrognosisLib.findings import Mask
from PrognosisLib.images.readers import read_volume

from ..head.brain import find_brain
from ..labels import HEMATOMA, VENTRICULAR
from ..measuring.location import DEEP, INFRATENTORIAL, LOBAR, locate
from ..measuring.signs import measure_signs
from ..simulation.causes import ImageCauses

# What the simulated clinical values go by, for each estimated region.
LOCATIONS = {DEEP: "putamen", LOBAR: "lobar", INFRATENTORIAL: "cerebellum"}


def with_outcome(case: CohortCase) -> CohortCase | None:
    """The case with the columns `true_<cause>` and `location`, as a simulated one has them.

    The causes are measured on the image and its labels; noise is taken off the density's spread. None for a single
    slice or a scan without hematoma.
    """
    image, labels = read_volume(case.files["ct"], "CT"), read_volume(case.files["labels"], "labels")
    truth = labels.array.astype(np.uint8)
    mask = Mask.from_full("Hematoma", truth == HEMATOMA, image.grid)
    if len(truth) < 8 or mask.is_empty:
        return None
    ventricular = float(np.count_nonzero(truth == VENTRICULAR)) * image.grid.voxel_volume_ml
    causes = ImageCauses.of(measure_signs(image, mask), ventricular)
    place = locate(image, mask, find_brain(image))
    columns = {f"true_{name}": str(value) for name, value in asdict(causes).items()}
    return replace(case, values={**case.values, **columns, "location": LOCATIONS[place.region]})
