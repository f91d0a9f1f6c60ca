"""Which frames were read, and whether the images and frames that are chosen now are still those."""

from __future__ import annotations

from collections.abc import Mapping

from PrognosisLib.findings import Flag, Mask, Measurement

from ..labels import LIVER
from ..settings import HepatoSettings
from .change import GROUP
from .evidence import LiverFacts, PairEvidence

METHOD = "the frame with the largest liver of those that are sharp and bright enough, or the one that was chosen"


def frame_rows(
    masks: Mapping[str, Mask], evidence: PairEvidence | None, frames: Mapping[str, int]
) -> list[Measurement]:
    """The number of the frame that was read, counted from 1, of each image that is a cine.

    Args:
        frames: number of frames by role.
    """
    rows = []
    for role, facts in _read(evidence).items():
        if frames.get(role, 1) < 2:
            continue
        liver = masks.get(LIVER) if role == "t0" else None
        rows.append(
            Measurement(
                f"frame_{role}",
                f"Frame read of {role.upper()}",
                facts.frame + 1,
                method=METHOD,
                note=f"of {frames[role]} frames",
                group=GROUP,
                place=None if liver is None else liver.middle_ras,
            )
        )
    return rows


def input_flags(evidence: PairEvidence | None, frames: Mapping[str, int], settings: HepatoSettings) -> list[Flag]:
    """T1 missing, and what was chosen after the run, so that it was not read."""
    if evidence is None:
        return []
    flags, alone = [], "The risk was read from T0 alone, so its interval is wider: "
    if evidence.second is None and "t1" not in frames:
        flags.append(Flag("one_image", "info", f"{alone}add the image of day 5 (T1) if there is one."))
    elif evidence.second is None:
        message = f"{alone}no liver was found in T1, or T1 was chosen after the run, which Apply reads."
        flags.append(Flag("one_image", "warning", message))
    elif frames and "t1" not in frames:
        message = "T1 is no longer chosen, but what was read from it still counts: press Apply to read T0 alone."
        flags.append(Flag("t1_gone", "warning", message))
    for role, facts in _read(evidence).items():
        wanted = settings.frame_of(role)
        if role in frames and wanted is not None and wanted != facts.frame:
            message = (
                f"Frame {wanted + 1} of {role.upper()} was chosen after the run, which read frame {facts.frame + 1}: "
                "press Apply to read it."
            )
            flags.append(Flag(f"other_frame_{role}", "warning", message))
    return flags


def _read(evidence: PairEvidence | None) -> dict[str, LiverFacts]:
    """What was measured in each image that was read, by role."""
    if evidence is None:
        return {}
    return {role: facts for role, facts in (("t0", evidence.first), ("t1", evidence.second)) if facts is not None}
