"""How far the network's border lies from the truth of a labeled scan."""

from __future__ import annotations

import numpy as np

from PrognosisLib.bundles.backends import Network
from PrognosisLib.errors import InputError
from PrognosisLib.learning.border import border_shift
from PrognosisLib.slicewise.onto_scan import FAR_OUTSIDE
from PrognosisLib.volume import Volume, resample

from ..head.brain import find_brain
from ..labels import HEMATOMA, IGNORE
from ..segmenting.segmentation import hematoma_margin


def hematoma_shift(network: Network, image: Volume, labels: Volume) -> tuple[float, float] | None:
    """`border_shift` of the hematoma on the network's own slices; what the labels leave open is ruled out.

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
    hematoma = truth == HEMATOMA
    if not (hematoma & (margin > 0)).any():
        return None
    return border_shift(margin, np.count_nonzero(hematoma) * slices.grid.voxel_volume_ml, slices.grid)
