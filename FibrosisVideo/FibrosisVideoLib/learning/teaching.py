"""From stored cines to what the classifiers learn from: the segmenter's liver beside the gray values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.framewise.frames import frame_reason, keep_pieces, liver_facts
from PrognosisLib.framewise.lattice import to_input
from PrognosisLib.learning.training import channels_last, fast_type

from ..simulation.causes import SIGNS
from .cases import StoredCine, load
from .taught import SIGN_MEAN, SIGN_SD, TaughtCine

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
    return [_taught(load(file), segmenter, folder / f"{file.stem}.npy") for file in files]


def _kept_shares(cine: StoredCine, segmenter: nn.Module, kept: Path) -> np.ndarray:
    if kept.exists():
        return np.load(kept)
    share = liver_shares(segmenter, cine.gray)
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".part")
    with partial.open("wb") as stream:
        np.save(stream, share)
    partial.replace(kept)
    return share


def _taught(cine: StoredCine, segmenter: nn.Module, kept: Path) -> TaughtCine:
    share = _kept_shares(cine, segmenter, kept)
    return _known(cine.gray, share, cine.truth)


def teach_stills(files: Sequence[Path], segmenter: nn.Module, folder: Path) -> list[TaughtCine]:
    """Single frames for the encoder, one of each patient."""
    found = []
    for file in files:
        many = load(file)
        share = _kept_shares(many, segmenter, folder / f"{file.stem}.npy")
        found += [
            _known(many.gray[n : n + 1], share[n : n + 1], truth) for n, truth in enumerate(many.truth["patients"])
        ]
    return found


def _known(gray: np.ndarray, share: np.ndarray, truth: Mapping[str, Any]) -> TaughtCine:
    """A simulated patient: the causal model's probabilities are those that a stage is reached, given the signs."""
    signs = np.array([truth[f"true_{name}"] for name in SIGNS], np.float32)
    chances = np.array([truth[f"true_f{stage}"] for stage in range(5)], np.float32)
    return TaughtCine(
        gray,
        share,
        usable_frames(gray, share),
        int(truth["stage"]),
        np.clip(chances[::-1].cumsum()[::-1][1:], 0, 1),
        (signs - SIGN_MEAN) / SIGN_SD,
        str(truth["patient"]),
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
