"""A cine through the networks, window by window, so that memory does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from PrognosisLib.bundles.backends import Network
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.screen import Screen
from PrognosisLib.volume import Grid

from .catalog import to_input
from .heads import Head
from .lattice import CELLS, FACE, FRAME_RATE, PIXEL_MM, SHAPE, SMALLEST_SUM, STRIDE, USUAL_DEPTH_MM, WINDOW

BATCH = 16
FEWEST_LIVER_CM2 = 10.0
DARK_GRAY = 6.0  # mean over the liver, of 255
SMALLEST_PIECE = 0.15  # of the largest one; smaller ones are no liver
FEWEST_USABLE = 0.5  # of a window's frames


@dataclass(frozen=True)
class FrameLattice:
    """Where the networks' lattice lies in the frames of one cine.

    Args:
        rows: (160, rows) and columns: (columns, 192) matrices that average a frame's pixels into the lattice's.
        ijk_to_ras: of the lattice (i, j, frame), in the space of Cine.grid.
        is_mm: whether the size of a pixel is known; else the sector is taken to be as deep as is usual.
    """

    rows: np.ndarray
    columns: np.ndarray
    ijk_to_ras: np.ndarray
    is_mm: bool

    @classmethod
    def of(cls, cine: Cine, screen: Screen) -> FrameLattice:
        """For a cine with its sector."""
        sector = screen.sector
        if sector.apex is not None and sector.kind == "convex":
            face = (sector.apex[1] + sector.radii[0], sector.apex[0])
            depth = sector.radii[1] - sector.radii[0]
        else:
            rows, columns = sector.box
            face, depth = (rows.start, (columns.start + columns.stop - 1) / 2), rows.stop - rows.start
        usual = USUAL_DEPTH_MM / max(float(depth), 1.0)
        pixel = cine.pixel_mm or (usual, usual)
        steps = [PIXEL_MM / mm for mm in pixel]  # frame pixels for one of the lattice
        starts = [face[axis] - FACE[axis] * steps[axis] for axis in (0, 1)]
        place = np.eye(4)
        place[0, 0], place[1, 1], place[0, 3], place[1, 3] = steps[1], steps[0], starts[1], starts[0]
        rows, columns = (averaging(SHAPE[axis], cine.frame_shape[axis], starts[axis], steps[axis]) for axis in (0, 1))
        return cls(rows, columns.T, cine.ijk_to_ras @ place, cine.pixel_mm is not None)

    def grid(self, frames: int) -> Grid:
        """The lattice with so many frames along k."""
        return Grid((frames, *SHAPE), self.ijk_to_ras)

    def cells(self, frames: int) -> Grid:
        """The lattice of the classifiers' cells."""
        size = SHAPE[0] // CELLS[0]
        inner = np.diag([size, size, 1.0, 1.0])
        inner[:2, 3] = (size - 1) / 2
        return Grid((frames, *CELLS), self.ijk_to_ras @ inner)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Gray values (160, 192) float32 of a frame's (j, i)."""
        return self.rows @ frame.astype(np.float32) @ self.columns


def averaging(count: int, pixels: int, start: float, step: float) -> np.ndarray:
    """Matrix (count, pixels) that averages pixels over steps of `step`, or interpolates where that is below one."""
    centers = start + step * np.arange(count)
    reach = max(step, 1.0)
    distance = np.abs(np.arange(pixels)[None] - centers[:, None])
    # a box of the step's width, its ends softened by a pixel, or a triangle of one pixel
    weights = np.clip((reach + 1) / 2 - distance, 0, min(1.0, reach)) / reach
    return weights.astype(np.float32)


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
    wanted = times[0] + np.arange(count) / FRAME_RATE
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1) if len(times) > 1 else np.zeros(count, int)
    nearest = after - (wanted - times[after - 1] < times[after] - wanted) if len(times) > 1 else after
    return np.unique(nearest)


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
    scale = _gray_scale(cine)
    cell_cm2 = PIXEL_MM**2 / 100.0
    for numbers, gray in _batches(cine, screen, lattice, scale):
        logits = segmenter(to_input(gray)[:, None])[:, 0]
        share = 0.5 * (1.0 + np.tanh(0.5 * logits))
        for number, frame, probability in zip(numbers, gray, share, strict=True):
            liver = keep_pieces(probability > 0.5)
            found.liver.append(np.packbits(liver))
            area = float(liver.sum()) * cell_cm2
            if area:
                inside.append((float(probability[liver].mean()), area))
            reason = frame_reason(area, float(frame[liver].mean()) if area else 0.0)
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


def _batches(cine: Cine, screen: Screen, lattice: FrameLattice, scale: float) -> Iterator[tuple[list[int], np.ndarray]]:
    """Numbers and gray values (n, 160, 192) of the frames, BATCH at a time."""
    numbers, frames = [], []
    for number, frame in enumerate(cine.gray_frames()):
        numbers.append(number)
        frames.append(lattice(screen.seen(frame)) * np.float32(scale))
        if len(frames) == BATCH or number == len(cine) - 1:
            yield numbers, np.stack(frames)
            numbers, frames = [], []


def _gray_scale(cine: Cine) -> float:
    """Takes deeper gray values to 0..255."""
    if cine.source.dtype == np.uint8:
        return 1.0
    top = max(float(frame.max()) for frame in cine.sample(5))
    return 255.0 / (2.0 ** np.ceil(np.log2(max(top, 255.0) + 1.0)) - 1.0)


def keep_pieces(liver: np.ndarray) -> np.ndarray:
    """Without holes' rims and specks: pieces of at least SMALLEST_PIECE of the largest one, (j, i) bool."""
    from scipy.ndimage import label

    pieces, count = label(liver)
    if count < 2:
        return liver
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= SMALLEST_PIECE * sizes.max())[pieces] & (pieces > 0)


def frame_reason(area_cm2: float, gray: float) -> str:
    """Why a frame cannot be used, or nothing."""
    if area_cm2 < FEWEST_LIVER_CM2:
        return "little or no liver in view"
    return "too dark" if gray < DARK_GRAY else ""


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
