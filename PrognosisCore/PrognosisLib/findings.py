"""What a pipeline gives back: masks, measurements, quality flags, curves, heat maps and where they came from.

Plain data: can be pickled, holds no MRML and no Qt, and is turned into nodes by scene and into files by reporting.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .volume import Grid

SIMULATED = "simulated cohort"


@dataclass(frozen=True)
class Interval:
    """Lower and upper end of an interval, in the unit of its quantity."""

    lower: float
    upper: float


@dataclass(frozen=True)
class Mask:
    """One segment, stored as the box it fills.

    Args:
        name: segment name, e.g. "Spleen"; scene knows its terminology and color by this name.
        array: bool (k, j, i), the content of the box only; (t, j, i) in a cine (see Cine.grid).
        start: (k, j, i) of the box's first voxel in the grid that the mask was computed on.
        grid: that grid, whole.
        visible: shown by default.
        volume_ml: interval of the volume from the network's own uncertainty; None for a mask drawn or edited by hand.
        confidence: mean probability of the network inside the mask, 0..1; None for a mask drawn or edited by hand.
        evidence: what the network knew about the image and stays true when the mask is edited, as JSON text.
        solid: drawn opaque in 3D; what surrounds another segment is better seen through.
        role: the image that it lies on, where that is another one than the first (see System.primary_of).
    """

    name: str
    array: np.ndarray
    start: tuple[int, int, int]
    grid: Grid
    visible: bool = True
    volume_ml: Interval | None = None
    confidence: float | None = None
    evidence: str = ""
    solid: bool = True
    role: str = ""

    @classmethod
    def from_full(cls, name: str, array: np.ndarray, grid: Grid, **more: Any) -> Mask:
        """Crop a whole-grid array (k, j, i) to its non-zero box; an empty array gives an empty box."""
        start, stop = [], []
        for axis in range(3):
            filled = np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis)))
            start.append(int(filled[0]) if len(filled) else 0)
            stop.append(int(filled[-1]) + 1 if len(filled) else 0)
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        return cls(name, np.ascontiguousarray(array[box] != 0), tuple(start), grid, **more)

    @property
    def box(self) -> tuple[slice, slice, slice]:
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.array.shape, strict=True))

    @property
    def cropped_grid(self) -> Grid:
        """The grid of `array`; only for a mask that is not empty."""
        return self.grid.sub_grid(self.box)

    @property
    def is_empty(self) -> bool:
        return not self.array.any()

    @property
    def voxel_volume_ml(self) -> float:
        return float(np.count_nonzero(self.array)) * self.grid.voxel_volume_ml

    @property
    def checksum(self) -> int:
        """Changes when any voxel changes; tells an edited mask from the network's own."""
        place = np.array([*self.start, *self.array.shape], dtype=np.int64).tobytes()
        return zlib.crc32(np.packbits(self.array).tobytes(), zlib.crc32(place))

    @property
    def middle_ras(self) -> tuple[float, float, float]:
        """The voxel nearest to the center, world RAS in mm; only for a mask that is not empty."""
        kji = np.argwhere(self.array)
        nearest = kji[np.argmin(((kji - kji.mean(axis=0)) ** 2).sum(axis=1))]
        return tuple(float(v) for v in self.cropped_grid.to_ras(nearest[None])[0])

    def full(self) -> np.ndarray:
        """The mask on its whole grid, uint8 (k, j, i)."""
        array = np.zeros(self.grid.shape, dtype=np.uint8)
        array[self.box] = self.array
        return array


@dataclass(frozen=True)
class Measurement:
    """One row of the results table.

    Args:
        key: stable identifier, snake_case ("spleen_volume").
        label: what the user reads ("Spleen volume").
        value: number, text ("high"), or None when an input is missing; then `note` says which.
        unit: "mL", "mm", "HU", "%", "points", or "" for a class.
        interval: of the value, or None.
        method: how it was obtained, with the source of a formula.
        note: what the reader must know; has "simulated cohort" where `simulated`, "published, other data" where quoted.
        group: heading of the row ("Spleen size", "2D surrogates", "Risk", "Clinical scores").
        simulated: comes from a model that was trained on a simulated cohort.
        place: world RAS in mm where the row is best seen; the panel shows it there.
    """

    key: str
    label: str
    value: float | str | None
    unit: str = ""
    interval: Interval | None = None
    method: str = ""
    note: str = ""
    group: str = ""
    simulated: bool = False
    place: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.place is not None:
            r, a, s = (float(part) for part in self.place)
            object.__setattr__(self, "place", (r, a, s))
        if self.simulated and SIMULATED not in self.note:
            note = f"{SIMULATED}; {self.note}" if self.note else SIMULATED
            object.__setattr__(self, "note", note)


@dataclass(frozen=True)
class Flag:
    """A reason to look again: severity "info", "warning" or "error", one sentence, and the segment it is about.

    `lasting` ones were raised with the images: they hold when masks are edited, unless the segment they are about, and
    which the run did not find, is there now.
    """

    key: str
    severity: str
    message: str
    segment: str = ""
    lasting: bool = False


@dataclass(frozen=True)
class Curve:
    """One line of a plot. Curves with the same `chart` are drawn together.

    Args:
        x, y: (n,) arrays; lower and upper: (n,) band or None.
        step: drawn as steps (survival curves).
        emphasized: the patient's own curve.
    """

    chart: str
    name: str
    x: np.ndarray
    y: np.ndarray
    x_label: str
    y_label: str
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    step: bool = False
    emphasized: bool = False
    simulated: bool = False


@dataclass(frozen=True)
class HeatMap:
    """What drove a score: (k, j, i) on `grid`, float32 from 0 to 1 or uint8 from 0 to 255, which stand for 0 to 1.

    That of a cine is (t, j, i) and has all of its frames (see Cine.grid); uint8 there saves memory. `role` is that of
    the image that it lies on, where that is another one than the first (see System.primary_of).
    """

    name: str
    array: np.ndarray
    grid: Grid
    role: str = ""

    @property
    def highest(self) -> float:
        """What stands for 1: 255 in uint8."""
        return 255.0 if self.array.dtype == np.uint8 else 1.0


@dataclass(frozen=True)
class Findings:
    """Everything that one run found. `provenance` is JSON-able: bundle, versions, device, seconds per stage."""

    system: str
    masks: tuple[Mask, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    flags: tuple[Flag, ...] = ()
    curves: tuple[Curve, ...] = ()
    heat_maps: tuple[HeatMap, ...] = ()
    summary: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def other_roles(self) -> list[str]:
        """The roles of the images beside the first on which there are masks or heat maps."""
        return list(dict.fromkeys(one.role for one in (*self.masks, *self.heat_maps) if one.role))

    def on(self, role: str = "") -> Findings:
        """With the masks and heat maps of one image only; without a role those of the first."""
        masks = tuple(mask for mask in self.masks if mask.role == role)
        return replace(self, masks=masks, heat_maps=tuple(one for one in self.heat_maps if one.role == role))

    def mask(self, name: str) -> Mask | None:
        return next((mask for mask in self.masks if mask.name == name), None)

    def measurement(self, key: str) -> Measurement | None:
        return next((row for row in self.measurements if row.key == key), None)

    def value(self, key: str) -> float | str | None:
        row = self.measurement(key)
        return None if row is None else row.value

    @property
    def is_simulated(self) -> bool:
        return any(row.simulated for row in self.measurements) or any(curve.simulated for curve in self.curves)
