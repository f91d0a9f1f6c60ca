"""How far the network's border lies from the truth of a labeled scan."""

from __future__ import annotations

import numpy as np

from PrognosisLib import shape
from PrognosisLib.bundles.backends import Network
from PrognosisLib.errors import InputError
from PrognosisLib.slicewise.onto_scan import FAR_OUTSIDE
from PrognosisLib.volume import Volume, resample

from ..head.brain import find_brain
from ..labels import HEMATOMA, IGNORE
from ..segmenting.segmentation import hematoma_margin


def border_shift(network: Network, image: Volume, labels: Volume) -> tuple[float, float] | None:
    """Log-odds at which the enclosed volume equals the true one, and the volume error in mm of surface.

    None for a single slice, a scan without a skull or without hematoma, and one whose hematoma was missed.
    """
    if image.array.shape[0] < 8:
        return None
    try:
        brain = find_brain(image)
    except InputError:
        return None
    margin, slices = hematoma_margin(image, brain, network)
    truth = resample(labels.array.astype(np.uint8), labels.ijk_to_ras, slices.grid, nearest=True)
    margin = np.where(truth == IGNORE, np.float32(FAR_OUTSIDE), margin)
    inside, wanted = margin > 0, int(np.count_nonzero(truth == HEMATOMA))
    if not inside.any() or not wanted or not (inside & (truth == HEMATOMA)).any():
        return None
    ordered = np.sort(margin[margin > FAR_OUTSIDE])[::-1]
    shift = float(ordered[min(wanted, len(ordered) - 1)])
    error_ml = (int(np.count_nonzero(inside)) - wanted) * slices.grid.voxel_volume_ml
    return shift, 1000.0 * error_ml / shape.border(inside, slices.grid).area(slices.grid)
