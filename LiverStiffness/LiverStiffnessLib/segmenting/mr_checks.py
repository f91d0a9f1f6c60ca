"""Whether an image can be the MR image that its role says, before and after the network has seen it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from PrognosisLib.errors import InputError
from PrognosisLib.findings import Flag
from PrognosisLib.images.checks import check_geometry
from PrognosisLib.volume import Volume

from ..labels import LIVER, SPLEEN
from .alignment import Alignment
from .network import SEQUENCES
from .reading import ReadImage

TITLES = {"T2": "T2-weighted MRI", "T1": "T1-weighted MRI"}
SAMPLES = 400_000
FEWEST_VALUES = 24  # different gray values; label maps have fewer
CT_AIR_HU, CT_SOFT_HU = -500.0, (-150.0, 150.0)
NEGATIVE_SHARE = 0.05
# The network must be this sure, and the brightness of spleen and liver agree, before an image is refused.
SURE, DOUBTFUL = 0.9, 0.6
# Dice of liver and spleen after the shift. Livers of two patients may overlap by 0.84, but then their spleens do not;
# of one patient's own images the spleens overlap by 0.7 and more. See docs/liver-stiffness.md.
OTHER_LIVER, OTHER_SPLEEN = 0.65, 0.60
ALIKE_LIVER = 0.86  # from here on the liver alone is proof enough
DOUBTFUL_LIVER, DOUBTFUL_SPLEEN = 0.82, 0.70


def check_mr(volume: Volume, sequence: str) -> None:
    """Refuse what cannot be a magnitude MR image of the trunk.

    Raises:
        InputError: with one sentence that says what is wrong and how to mend it.
    """
    check_geometry(volume)
    name = f"{TITLES[sequence]} '{volume.name}'"
    sample = volume.array.reshape(-1)[:: max(1, volume.array.size // SAMPLES)]
    if not np.isfinite(volume.array).all():
        raise InputError(f"{name} has voxels that are NaN or infinite; export the image again.")
    low, high = float(sample.min()), float(sample.max())
    if low == high:
        raise InputError(f"{name} has the same value ({low:g}) in every voxel; choose another image.")
    if np.mean(sample < CT_AIR_HU) > 0.02 and np.mean((sample > CT_SOFT_HU[0]) & (sample < CT_SOFT_HU[1])) > 0.05:
        raise InputError(f"{name} has Hounsfield units (air below -500), so it is a CT; choose the MR image.")
    if np.mean(sample < 0) > NEGATIVE_SHARE:
        raise InputError(
            f"{name} has negative values, so it is a phase, subtraction or parameter image; choose the magnitude image."
        )
    if len(np.unique(sample)) < FEWEST_VALUES:
        raise InputError(f"{name} has only a few different values, so it is a label map; choose the image itself.")


def check_sequences(read: Mapping[str, ReadImage], names: Mapping[str, str]) -> list[Flag]:
    """Refuse images that are surely of another sequence than their role, and flag doubtful ones.

    Args:
        read: by sequence ("T2", "T1"); names: of the volumes, for the message.

    Raises:
        InputError: T1 and T2 were swapped, or one image is of another sequence.
    """
    wrong = {role: one.best_sequence for role, one in read.items() if _is_surely_another(role, one)}
    if wrong == {"T2": "T1", "T1": "T2"}:
        raise InputError(
            f"The images are swapped: '{names['T2']}' looks T1-weighted and '{names['T1']}' T2-weighted; "
            "exchange the two."
        )
    for role, found in wrong.items():
        looks = f"looks {found}-weighted" if found in TITLES else "looks neither T1- nor T2-weighted (diffusion, maybe)"
        raise InputError(f"'{names[role]}', given as {TITLES[role]}, {looks}; choose the {TITLES[role]}.")
    return [
        Flag(
            f"sequence_doubtful_{role.lower()}",
            "warning",
            f"The network is not sure that '{names[role]}' is {role}-weighted "
            f"({100 * float(one.sequence[SEQUENCES.index(role)]):.0f} %): check the sequence.",
        )
        for role, one in read.items()
        if one.sequence[SEQUENCES.index(role)] < DOUBTFUL
    ]


def _is_surely_another(role: str, read: ReadImage) -> bool:
    chance = float(read.sequence.max())
    has_liver = (read.margins[LIVER] > 0).any()  # what shows none, is no abdomen
    if read.best_sequence == role or chance < SURE or not has_liver:
        return False
    if read.best_sequence not in TITLES:
        return True
    brighter = spleen_over_liver(read)
    return np.isnan(brighter) or (brighter > 1.0) == (read.best_sequence == "T2")


def spleen_over_liver(read: ReadImage) -> float:
    """Brightness of the spleen over the liver's, from air's; over 1 in T2, under 1 in T1 weighting; NaN without."""
    gray = read.slices.array - float(read.slices.array.min())
    medians = []
    for label in (SPLEEN, LIVER):
        inside = read.margins[label] > 1.0
        if np.count_nonzero(inside) < 60:
            return float("nan")
        medians.append(float(np.median(gray[inside])))
    return medians[0] / max(medians[1], 1e-6)


def check_one_patient(alignment: Alignment | None, names: Mapping[str, str]) -> list[Flag]:
    """Refuse two images whose organs do not match, and flag a poor match.

    Raises:
        InputError: liver and spleen differ as those of two patients do.
    """
    if alignment is None:
        return []
    # NaN: the images have no place in common, or the organ is in neither.
    liver, spleen = float(np.nan_to_num(alignment.liver_dice)), alignment.spleen_dice
    told = f"liver {liver:.2f}" + ("" if np.isnan(spleen) else f", spleen {spleen:.2f}")
    if liver < OTHER_LIVER or (liver < ALIKE_LIVER and spleen < OTHER_SPLEEN):
        raise InputError(
            f"Liver and spleen in '{names['T2']}' and '{names['T1']}' do not match (overlap after the best shift: "
            f"{told}), so they are of two patients, two examinations or cut off; choose T1 and T2 of one examination."
        )
    if liver < DOUBTFUL_LIVER or spleen < DOUBTFUL_SPLEEN:
        return [
            Flag(
                "poor_match",
                "warning",
                f"T2 and T1 match poorly (overlap after the best shift: {told}): check that both are of one "
                "examination and cover liver and spleen.",
            )
        ]
    return []
