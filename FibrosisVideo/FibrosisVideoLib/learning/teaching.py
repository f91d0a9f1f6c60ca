"""From stored cines to what the classifiers learn from: the segmenter's liver beside the gray values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.framewise.frames import frame_reason, keep_pieces, liver_facts
from PrognosisLib.framewise.lattice import to_input
from PrognosisLib.learning.training import channels_last, fast_type

from ..simulation.causes import SIGNS
from .cases import StoredCine, load
from .classifier_training import SIGN_MEAN, SIGN_SD, TaughtCine

if TYPE_CHECKING:
    from torch import nn


def liver_shares(segmenter: nn.Module, gray: np.ndarray) -> np.ndarray:
    """The segmenter's probability of liver 0..255 in frames (t, j, i), uint8."""
    kind = fast_type(torch.device("cpu"))
    with torch.inference_mode(), torch.autocast("cpu", dtype=kind or torch.bfloat16, enabled=kind is not None):
        image = channels_last(torch.from_numpy(to_input(gray))[:, None])
        return np.rint(255 * torch.sigmoid(segmenter(image)[:, 0].float()).numpy()).astype(np.uint8)


def usable_frames(gray: np.ndarray, share: np.ndarray) -> np.ndarray:
    """bool (t,): whether the product would use a frame; `share` 0..255."""
    usable = []
    for frame, part in zip(gray, share, strict=True):
        usable.append(not frame_reason(*liver_facts(keep_pieces(part > 127), frame)))
    return np.array(usable)


def teach(files: Sequence[Path], segmenter: nn.Module, folder: Path) -> list[TaughtCine]:
    """Simulated cines for the classifiers; the segmenter's shares are kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_taught(load(file), segmenter, folder / f"{file.stem}.npy") for file in files]


def _taught(cine: StoredCine, segmenter: nn.Module, kept: Path) -> TaughtCine:
    if kept.exists():
        share = np.load(kept)
    else:
        share = liver_shares(segmenter, cine.gray)
        partial = kept.with_suffix(".part")
        with partial.open("wb") as stream:
            np.save(stream, share)
        partial.replace(kept)
    signs = np.array([cine.truth[f"true_{name}"] for name in SIGNS], np.float32)
    return TaughtCine(
        cine.gray,
        share,
        usable_frames(cine.gray, share),
        int(cine.truth["stage"]),
        (signs - SIGN_MEAN) / SIGN_SD,
        str(cine.truth["patient"]),
    )


def liver_figures(files: Sequence[Path], taught: Sequence[TaughtCine]) -> dict[str, float]:
    """Dice of the segmenter's liver against the simulated truth over all pixels of each cine."""
    overlaps = np.array(
        [dice(one.liver > 127, load(file).liver) for file, one in zip(files, taught, strict=True)], float
    )
    return {
        "n": len(overlaps),
        "dice_mean": round(float(overlaps.mean()), 4),
        "dice_median": round(float(np.median(overlaps)), 4),
        "dice_worst": round(float(overlaps.min()), 4),
    }
