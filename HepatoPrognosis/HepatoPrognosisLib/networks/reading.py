"""One image, or the best frame of a cine, through the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from PrognosisLib.bundles.backends import Network
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Mask
from PrognosisLib.framewise.frames import gray_scale, keep_pieces, liver_facts
from PrognosisLib.framewise.lattice import FrameLattice, to_input
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.screen import Screen
from PrognosisLib.slicewise.network import SMALLEST_SUM, pooled, probability

from .catalog import LIVER_CLASS
from .choosing import MOST_FRAMES, FrameFacts, best_frame, sharpness_of

BATCH = 8
FAR_OUTSIDE = -20.0


@dataclass(frozen=True)
class ReadFrame:
    """What the network saw of one frame.

    Args:
        cine, screen, lattice: where the frame is from.
        facts: of this frame; why it cannot be used is `facts.reason`.
        gray: (160, 192) on the lattice, 0 to 255.
        margin: (160, 192) log-odds of liver, without specks; liver: where they are positive.
        chance: (160, 192) probability of liver.
        features: (f,); evidence: (f, 40, 48), what they are pooled from.
        is_chosen: the user chose the frame.
    """

    cine: Cine
    screen: Screen
    lattice: FrameLattice
    facts: FrameFacts
    gray: np.ndarray
    margin: np.ndarray
    chance: np.ndarray
    features: np.ndarray
    evidence: np.ndarray
    is_chosen: bool = False

    @property
    def number(self) -> int:
        """Of the frame, from 0."""
        return self.facts.number

    @property
    def liver(self) -> np.ndarray:
        """Where the liver is, bool (160, 192)."""
        return self.margin > 0

    @property
    def frame(self) -> np.ndarray:
        """Its own gray values, (rows, columns) from 0 to 255, float32; black outside the sector."""
        seen = self.screen.seen(self.cine.frame(self.number))
        return seen.astype(np.float32) * np.float32(gray_scale(self.cine))

    def shares(self) -> np.ndarray:
        """(f, 40, 48) what each place adds to each feature; the features are the sums over all places."""
        share = pooled(self.chance[None])[0]
        return self.evidence * (share / (share.sum() + SMALLEST_SUM))

    def mask(self, name: str, **more: object) -> Mask:
        """The liver on the pixels of the film, in this frame alone."""
        inside = self._liver_in_frame()
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        box = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        start = (self.number, int(rows[0]), int(columns[0]))
        confidence = float(self.chance[self.liver].mean())
        return Mask(name, box[None].copy(), start, self.cine.grid, confidence=confidence, **more)

    def _liver_in_frame(self) -> np.ndarray:
        """Log-odds interpolated between the lattice's pixels, positive and inside the sector: bool (rows, columns)."""
        from scipy.ndimage import map_coordinates

        to_lattice = np.linalg.inv(self.lattice.ijk_to_ras) @ self.cine.ijk_to_ras
        j, i = np.indices(self.cine.frame_shape, dtype=np.float32)
        places = [to_lattice[1, 1] * j + to_lattice[1, 3], to_lattice[0, 0] * i + to_lattice[0, 3]]
        margin = map_coordinates(self.margin, places, order=1, cval=FAR_OUTSIDE)
        return (margin > 0) & self.screen.sector.mask


def read_image(
    cine: Cine,
    network: Network,
    number: int | None,
    screen: Screen,
    on_frame: Callable[[int, int], None] = lambda done, count: None,
) -> ReadFrame:
    """Read one frame: that of the number (from 0), or else the best one; of long cines not every frame is looked at.

    Where no frame can be used it is the one in which most liver was found; see `ReadFrame.facts.reason`.

    Raises:
        InputError: the cine has no frame of that number.
    """
    lattice = FrameLattice.of(cine, screen)
    inside = lattice(screen.sector.mask.astype(np.float32)) > 0.5
    if number is not None and number >= len(cine):
        count = f"{len(cine)} frames" if len(cine) > 1 else "one frame"
        raise InputError(f"'{cine.name}' has {count}, and no frame {number + 1}; choose another, or none.")
    if number is not None or len(cine) == 1:
        return _read(cine, screen, lattice, inside, network, number or 0, number is not None)
    found: list[FrameFacts] = []
    step = -(-len(cine) // MOST_FRAMES)
    for numbers, gray in _batches(cine, screen, lattice, step):
        logits, detection = network.outputs(to_input(gray)[:, None])[:2]
        for one, frame, frame_logits, logit in zip(numbers, gray, logits, detection, strict=True):
            found.append(_facts(one, frame, inside, _margin(frame_logits, inside), float(logit[0])))
        on_frame(min(numbers[-1] + step, len(cine)), len(cine))
    best = best_frame(found) or max(found, key=lambda one: one.area_cm2)
    return _read(cine, screen, lattice, inside, network, best.number, False)


def _batches(cine: Cine, screen: Screen, lattice: FrameLattice, step: int) -> Iterator[tuple[list[int], np.ndarray]]:
    """Numbers and gray values (n, 160, 192) of every `step`-th frame, BATCH at a time; the file is read in one pass."""
    scale = np.float32(gray_scale(cine))
    numbers, frames = list(range(0, len(cine), step)), cine.gray_frames(step=step)
    for start in range(0, len(numbers), BATCH):
        part = numbers[start : start + BATCH]
        yield part, np.stack([lattice(screen.seen(next(frames))) * scale for _number in part])


def _margin(logits: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Log-odds (j, i) of liver against the rest, of (2, j, i) logits; none lies outside the image, or is a speck."""
    margin = np.where(inside, logits[LIVER_CLASS] - logits[1 - LIVER_CLASS], np.float32(FAR_OUTSIDE))
    kept = keep_pieces(margin > 0)
    return np.where((margin > 0) & ~kept, np.float32(FAR_OUTSIDE), margin)


def _facts(number: int, gray: np.ndarray, inside: np.ndarray, margin: np.ndarray, logit: float) -> FrameFacts:
    area, level = liver_facts(margin > 0, gray)
    return FrameFacts(number, area, level, sharpness_of(gray, inside), 0.5 * (1.0 + float(np.tanh(0.5 * logit))))


def _read(
    cine: Cine,
    screen: Screen,
    lattice: FrameLattice,
    inside: np.ndarray,
    network: Network,
    number: int,
    is_chosen: bool,
) -> ReadFrame:
    gray = lattice(screen.seen(cine.frame(number, gray=True)))[None] * np.float32(gray_scale(cine))
    logits, detection, features, evidence = network.outputs(to_input(gray)[:, None])
    margin = _margin(logits[0], inside)
    return ReadFrame(
        cine,
        screen,
        lattice,
        _facts(number, gray[0], inside, margin, float(detection[0, 0])),
        gray[0],
        margin,
        probability(logits, LIVER_CLASS)[0],
        features[0],
        evidence[0],
        is_chosen,
    )
