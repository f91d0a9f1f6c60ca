"""A cine through the networks, window by window, so that memory does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from PrognosisLib.bundles.backends import Network
from PrognosisLib.framewise.frames import frame_reason, keep_pieces, lattice_frames, liver_facts
from PrognosisLib.framewise.lattice import SHAPE, FrameLattice, to_input
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.screen import Screen

from .heads import Head
from .lattice import FRAME_RATE, SMALLEST_SUM, STRIDE, WINDOW

FEWEST_USABLE = 0.5  # of a window's frames


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
    segmenter: Network,
    classifiers: Mapping[str, tuple[Network, Head]],
    with_heat: bool,
    on_frame: Callable[[int], None] = lambda done: None,
) -> CineReading:
    """Liver in every frame, and every model's reading of every window; `on_frame` hears how many frames are done."""
    lattice = FrameLattice.of(cine, screen)
    found = CineReading(lattice, kept=kept_frames(cine))
    wanted, buffer, first, inside = set(found.kept.tolist()), [], 0, []
    for numbers, gray in lattice_frames(cine, screen, lattice):
        logits = segmenter(to_input(gray)[:, None])[:, 0]
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
            if number in wanted:
                buffer.append((number, frame, probability))
        while len(buffer) >= WINDOW:
            _read_window(found, buffer[:WINDOW], first, classifiers, with_heat)
            buffer, first = buffer[STRIDE:], first + STRIDE
        on_frame(numbers[-1] + 1)
    if buffer and (len(buffer) > WINDOW - STRIDE or not first):  # what no window has seen yet
        _read_window(found, buffer, first, classifiers, with_heat)
    if inside:
        values, areas = np.array(inside).T
        found.probability = float(np.average(values, weights=areas))
    return found


def _read_window(
    found: CineReading,
    frames: list[tuple[int, np.ndarray, np.ndarray]],
    first: int,
    classifiers: Mapping[str, tuple[Network, Head]],
    with_heat: bool,
) -> None:
    """Adds a window's readings, unless most of its frames are unusable. Short ones are filled with their last frame."""
    usable = [number not in found.unusable for number, _, _ in frames]
    if np.mean(usable) < FEWEST_USABLE:
        return
    filled = frames + [frames[-1]] * (WINDOW - len(frames))
    film = np.stack([to_input(np.stack([f for _, f, _ in filled])), np.stack([p for _, _, p in filled])])
    readings = {model: read_window(film, *parts, model, with_heat) for model, parts in classifiers.items()}
    found.windows.append((first, first + len(frames), readings))


def read_window(film: np.ndarray, network: Network, head: Head, model: str, with_heat: bool) -> WindowReading:
    """One model on a window (2, WINDOW, j, i): of the 3D network a step is two frames long."""
    if model == "3d":
        _, cells, weight = network.outputs(film[None])
        cells, weight = cells[0].transpose(1, 0, 2, 3), weight[0, 0]  # (steps, f, j, i), (steps, j, i)
    else:
        _, cells, weight = network.outputs(np.ascontiguousarray(film.transpose(1, 0, 2, 3)))
        weight = weight[:, 0]
    smallest = SMALLEST_SUM / (len(weight) if model == "3d" else 1)
    total = weight.sum(axis=(1, 2)) + smallest
    features = np.einsum("tfji,tji->tf", cells, weight) / total[:, None]
    if model == "3d":  # pooled over the whole window at once: steps with much liver weigh more
        relative = total / total.mean()
        steps = (features @ head.weights) * relative + head.bias
        by_cell = head.weights[None] * np.ones((len(weight), 1))
        total = np.full(len(weight), total.mean())
    else:
        steps, by_cell = head.steps(features), head.gradient(features)
    heat = None
    if with_heat:
        heat = np.maximum(np.einsum("tfji,tf->tji", cells, by_cell), 0) * weight / total[:, None, None]
        heat = heat.astype(np.float16)
    repeat = WINDOW // len(steps)
    return WindowReading(
        float(steps.mean()), np.repeat(steps, repeat), None if heat is None else np.repeat(heat, repeat, axis=0)
    )
