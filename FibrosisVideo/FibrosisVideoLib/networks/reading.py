"""A cine through the networks, window by window, so that memory does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from PrognosisLib.bundles.backends import Network
from PrognosisLib.framewise.frames import frame_reason, keep_pieces, lattice_frames, liver_facts
from PrognosisLib.framewise.lattice import SHAPE, FrameLattice, to_input
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.screen import Screen

from .catalog import FILM, FRAMES, SEGMENTER
from .heads import Head
from .lattice import FRAME_RATE, SMALLEST_SUM, STRIDE, WINDOW

FEWEST_USABLE = 0.5  # of a window's frames


class EncodedFrame(NamedTuple):
    """What the encoder made of one frame: its number, cells (f, j, i) and their weights (j, i)."""

    number: int
    cells: np.ndarray
    weight: np.ndarray


@dataclass
class WindowReading:
    """What one model said of a window.

    Args:
        score: mean of the steps.
        steps: (WINDOW,) what each frame adds.
        heat: (WINDOW, *CELLS) float16, where it came from, not negative; None where not asked for.
    """

    score: float
    steps: np.ndarray
    heat: np.ndarray | None


@dataclass
class CineReading:
    """What the networks saw of a whole cine.

    Args:
        liver: packed bits (t, ...) of the liver in every frame, see `liver_frames`.
        probability: mean probability inside the liver, 0..1.
        unusable: why, by frame.
        kept: numbers of the frames that the classifiers saw.
        windows: first and last place in `kept` of each window, and its readings by model.
    """

    lattice: FrameLattice
    liver: list[np.ndarray] = field(default_factory=list)
    probability: float = float("nan")
    unusable: dict[int, str] = field(default_factory=dict)
    kept: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    windows: list[tuple[int, int, Mapping[str, WindowReading]]] = field(default_factory=list)

    def liver_frames(self) -> np.ndarray:
        """bool (t, j, i) on the lattice."""
        bits = np.unpackbits(np.stack(self.liver), axis=1, count=SHAPE[0] * SHAPE[1])
        return bits.reshape(-1, *SHAPE).astype(bool)


def kept_frames(cine: Cine) -> np.ndarray:
    """Numbers of the frames that the classifiers see: FRAME_RATE a second, or all where there are fewer."""
    times = cine.times_s
    count = int(np.floor((times[-1] - times[0]) * FRAME_RATE + 1e-6)) + 1
    if len(times) <= count:
        return np.arange(len(times))
    wanted = times[0] + np.arange(count) / FRAME_RATE
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    return np.unique(after - (wanted - times[after - 1] < times[after] - wanted))


def read_cine_frames(
    cine: Cine,
    screen: Screen,
    networks: Mapping[str, Network],
    heads: Mapping[str, Head],
    with_heat: bool,
    on_frame: Callable[[int], None] = lambda done: None,
) -> CineReading:
    """Liver in every frame, and every model's reading of every window.

    Args:
        networks: by the names of catalog.py; heads: by key of labels.MODELS.
        on_frame: hears how many frames are done.
    """
    lattice = FrameLattice.of(cine, screen)
    found = CineReading(lattice, kept=kept_frames(cine))
    wanted, buffer, first, inside = set(found.kept.tolist()), [], 0, []
    for numbers, gray in lattice_frames(cine, screen, lattice):
        logits = networks[SEGMENTER](to_input(gray)[:, None])[:, 0]
        share = 0.5 * (1.0 + np.tanh(0.5 * logits))
        for number, frame, probability in zip(numbers, gray, share, strict=True):
            liver = keep_pieces(probability > 0.5)
            found.liver.append(np.packbits(liver))
            area, level = liver_facts(liver, frame)
            if area:
                inside.append((float(probability[liver].mean()), area))
            reason = frame_reason(area, level)
            if reason:
                found.unusable[number] = reason
        buffer += encoded([n for n in numbers if n in wanted], numbers, gray, share, networks[FRAMES])
        while len(buffer) >= WINDOW:
            _read_window(found, buffer[:WINDOW], first, networks[FILM], heads, with_heat)
            buffer, first = buffer[STRIDE:], first + STRIDE
        on_frame(numbers[-1] + 1)
    if buffer and (len(buffer) > WINDOW - STRIDE or not first):  # what no window has seen yet
        _read_window(found, buffer, first, networks[FILM], heads, with_heat)
    if inside:
        values, areas = np.array(inside).T
        found.probability = float(np.average(values, weights=areas))
    return found


def encoded(
    wanted: Sequence[int], numbers: Sequence[int], gray: np.ndarray, share: np.ndarray, encoder: Network
) -> list[EncodedFrame]:
    """The wanted ones of frames (n, j, i) with the share of liver of their pixels."""
    if not wanted:
        return []
    chosen = [numbers.index(number) for number in wanted]
    _, cells, weight = encoder.outputs(np.stack([to_input(gray[chosen]), share[chosen]], axis=1))
    return [EncodedFrame(*one) for one in zip(wanted, cells, weight[:, 0], strict=True)]


def _read_window(
    found: CineReading,
    frames: Sequence[EncodedFrame],
    first: int,
    film: Network,
    heads: Mapping[str, Head],
    with_heat: bool,
) -> None:
    """Adds a window's readings, unless most of its frames are unusable. Short ones are filled with their last frame."""
    usable = [one.number not in found.unusable for one in frames]
    if np.mean(usable) < FEWEST_USABLE:
        return
    filled = [*frames, *[frames[-1]] * (WINDOW - len(frames))]
    cells, weight = np.stack([one.cells for one in filled]), np.stack([one.weight for one in filled])
    readings = read_window(cells, weight, film, heads, with_heat)
    found.windows.append((first, first + len(frames), readings))


def read_window(
    cells: np.ndarray, weight: np.ndarray, film: Network, heads: Mapping[str, Head], with_heat: bool
) -> dict[str, WindowReading]:
    """Every model on the encoder's cells (WINDOW, f, j, i) and their weights (WINDOW, j, i)."""
    found = {}
    for model, head in heads.items():
        if model == "3d":
            joined = np.concatenate([cells, weight[:, None]], axis=1).transpose(1, 0, 2, 3)[None]
            seen = film.outputs(np.ascontiguousarray(joined))[1][0].transpose(1, 0, 2, 3)
            # pooled over the whole window at once: frames with much liver weigh more
            total = np.full(len(weight), weight.sum() / len(weight) + SMALLEST_SUM / len(weight))
        else:
            seen, total = cells, weight.sum(axis=(1, 2)) + SMALLEST_SUM
        features = np.einsum("tfji,tji->tf", seen, weight, optimize=True) / total[:, None]
        heat = None
        if with_heat:
            heat = np.einsum("tfji,tf->tji", seen, head.gradient(features), optimize=True)
            heat = (np.maximum(heat, 0) * weight / total[:, None, None]).astype(np.float16)
        steps = head.steps(features)
        found[model] = WindowReading(float(steps.mean()), steps, heat)
    return found
