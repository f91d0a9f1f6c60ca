"""Growth between two CT: the follow-up is registered by its skull, and what grew is laid on the first scan's voxels."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from PrognosisLib.findings import Flag, Interval, Mask
from PrognosisLib.pipeline import Progress, Stopwatch
from PrognosisLib.volume import Grid, Volume

from ..head.registration import Registration, register_followup, resample_to_baseline
from ..labels import HEMATOMA
from ..segmenting.segmentation import Segmented

FOLLOWUP, GROWTH = "Hematoma at follow-up", "Hematoma growth"
# What belongs to a mask that touches a border by partial volume is no growth.
GROWTH_MM = 1.0


@dataclasses.dataclass(frozen=True)
class FollowupEvidence:
    """What was found in the follow-up, kept with a segment.

    Args:
        native_ml: volume on the follow-up's own voxels, with its interval; 0 without a hematoma.
        registered: the skulls match, so that both hematomas lie on one lattice.
        voxels: of the segment as the run wrote it, to tell whether it was edited.
        registration: quality of the registration, and its rotation and translation.
    """

    native_ml: float
    lower_ml: float
    upper_ml: float
    registered: bool
    reason: str
    voxels: int
    registration: dict[str, float]

    def was_edited(self, mask: Mask) -> bool:
        """Whether the segment has another number of voxels than the run gave it."""
        return int(np.count_nonzero(mask.array)) != self.voxels

    def to_json(self) -> str:
        return json.dumps({"followup": dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> FollowupEvidence | None:
        """None where there is no text or it is not what `to_json` wrote."""
        try:
            return cls(**json.loads(text)["followup"])
        except (ValueError, KeyError, TypeError):
            return None


def compare_followup(
    volume: Volume,
    hematoma: Mask | None,
    later_volume: Volume,
    later: Segmented,
    progress: Progress,
    watch: Stopwatch,
) -> tuple[list[Mask], list[Flag]]:
    """The follow-up's hematoma and what grew, on the first scan's grid, and flags about the comparison.

    Where the skulls do not match, the follow-up's mask is empty but carries its volume as evidence.
    """
    progress(0.85, "Registering the follow-up")
    with watch("registration"):
        found = register_followup(volume, later_volume)
    flags = [] if found.succeeded else [registration_flag(found)]
    grid = volume.grid
    empty = np.zeros((0, 0, 0), bool)
    mask = later.masks.get(HEMATOMA)
    evidence = _evidence(found, mask)
    if mask is None:
        flags.append(no_followup_hematoma_flag())
    if mask is None or not found.succeeded:
        return [Mask.from_full(FOLLOWUP, empty, grid, evidence=evidence.to_json())], flags
    with watch("growth"):
        placed = _onto_baseline(mask, found, grid)
        evidence = dataclasses.replace(evidence, voxels=int(np.count_nonzero(placed.array)))
        grown = growth_mask(hematoma, placed)
    return [dataclasses.replace(placed, evidence=evidence.to_json()), grown], flags


def _evidence(found: Registration, mask: Mask | None) -> FollowupEvidence:
    ends = mask.volume_ml if mask is not None and mask.volume_ml else Interval(0.0, 0.0)
    numbers = {**found.quality, "rotation_degrees": found.rotation_degrees, "translation_mm": found.translation_mm}
    return FollowupEvidence(
        0.0 if mask is None else mask.voxel_volume_ml,
        ends.lower,
        ends.upper,
        found.succeeded,
        found.reason,
        0,
        {name: round(float(value), 3) for name, value in numbers.items()},
    )


def _onto_baseline(mask: Mask, found: Registration, grid: Grid) -> Mask:
    soft = mask.full().astype(np.float32)
    values = resample_to_baseline(soft, mask.grid, found, grid, fill=0.0)
    return Mask.from_full(FOLLOWUP, values >= 0.5, grid, visible=False)


def growth_mask(before: Mask | None, after: Mask) -> Mask:
    """Voxels of the later hematoma that the earlier one did not fill, without a film of partial volume."""
    from scipy import ndimage

    grid = after.grid
    later = after.full().astype(bool)
    earlier = np.zeros(grid.shape, bool) if before is None else before.full().astype(bool)
    new = later & ~earlier
    if before is not None and not before.is_empty:
        box = Mask.from_full("", later | earlier, grid).box
        far = ndimage.distance_transform_edt(~earlier[box], sampling=grid.spacing[::-1])
        keep = np.zeros(grid.shape, bool)
        keep[box] = far > GROWTH_MM
        labels, _count = ndimage.label(new)
        new = new & np.isin(labels, np.unique(labels[new & keep])) & (labels > 0)
    return Mask.from_full(GROWTH, new, grid, solid=False)


def registration_flag(found: Registration) -> Flag:
    return Flag(
        "registration_failed",
        "error",
        f"The follow-up could not be laid on the first CT: {found.reason[:1].lower()}{found.reason[1:]} "
        "No growth map was made.",
    )


def no_followup_hematoma_flag() -> Flag:
    return Flag(
        "no_followup_hematoma",
        "warning",
        "No hematoma found in the follow-up CT: look whether it was removed by surgery, or draw it in Segment Editor "
        f"as a segment named '{FOLLOWUP}'.",
        FOLLOWUP,
    )
