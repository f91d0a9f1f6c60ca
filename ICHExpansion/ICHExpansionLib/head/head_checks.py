"""Whether an image can be the head CT that the ICH expansion system needs, and reasons to distrust one that can.

Limits were set on 49 plain head CTs (48 of PHE-SICH-CT-IDS, cut to a brain window, and one in full HU); what these
measure stands beside each limit. Those on contrast medium, metal and noise rest on phantoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib import shape
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Flag
from PrognosisLib.volume import Grid, Volume, bin_shrink, resample

from .brain import BONE_HU, STEP_MM, WINDOW_BONE_HU, WINDOW_END_HU, Brain, find_brain

SMALLEST_BRAIN_ML = 500.0  # some 40 % of an adult's 1300 mL; measured: 885 to 1582
BRAIN_HU = (8.0, 65.0)  # median inside the skull; measured: 29 to 36
SKULL_SHARE = 0.8  # of the brain's border inside the scan that has bone within 5 mm; measured: 0.91 to 1.00

CUT_DEPTH_MM = 5.0
VERTEX_CM2 = 45.0  # a missing cap of some 8 mm or 15 mL; measured: 0 to 36, and 55 in one that misses the vertex
BASE_CM2 = 60.0  # more than the posterior fossa's lower end; measured: 0 to 34
SIDE_CM2 = 15.0

FINE_MM = 1.3  # lattice for vessels
VESSEL_HU, VESSEL_RISE, VESSEL_END_HU = 100.0, 60.0, 600.0  # hematomas reach 90 HU
FROM_BONE = (2, 3)  # coarse steps from the skull, near the middle plane and beside it
FLOOR_MM, FLOOR_STEPS = 15.0, 11  # above the skull base, whose thin bones look like vessels
MIDLINE_MM = 10.0  # the falx and the pineal gland, which calcify, lie closer to the middle plane
VESSEL_MM, VESSEL_FILL = 15.0, 0.12  # of a part: length, and volume over length cubed (compact ones: over 0.2)
BESIDE_MM, ALL_MM = 25.0, 100.0  # sums of lengths: on each side, and with the middle; measured: 20, 0 and 0

METAL_HU, METAL_MM3, INSIDE_MM = 1500.0, 5.0, 5.0  # calcifications stay below
SKULL_METAL_HU, SKULL_METAL_MM3, SKULL_MM = 2800.0, 20.0, 15.0  # measured, densest bone: 2104 HU
STREAK_MM, STREAK_HU, STREAK_SHARE = 30.0, (-20.0, 110.0), 0.02

PATCHES, PATCH_MM = 64, 9.0
NOISE_VOXEL_MM3 = 1.0  # noise is compared as if voxels had 0.45 x 0.45 x 5 mm
NOISY_HU, SHARP_HU = 10.0, 8.0  # measured: 1.2 to 3.7
SHARPNESS = (0.6, 1.0), (0.55, 1.0)  # pixels in mm, limits there; measured: 0.37 at 0.48 mm, 0.57 to 0.78 at 0.9 mm
THICK_MM = 6.0

NOTES = (  # word in a note of the reader, key, severity, advice
    ("orientation", "orientation_unknown", "warning", "check the hematoma's side in the original DICOM series"),
    ("geometries", "geometry_doubtful", "warning", "check side and size in the original DICOM series"),
    ("slice step", "irregular_step", "info", "use a reconstruction with equal steps if there is one"),
    ("tilt", "gantry_tilt", "info", "nothing needs to be done, since volumes and lengths allow for it"),
)


def check_head_ct(volume: Volume, role: str = "CT") -> None:
    """Refuse what cannot be a head CT in HU; one that was cut to a brain window (0 to 80 HU, say) passes.

    Args:
        volume: HU, any lattice.
        role: what the image is needed as ("Baseline CT"), for the message.

    Raises:
        InputError: with one sentence that says what is wrong and how to mend it.
    """
    from PrognosisLib.images.checks import check_geometry

    check_geometry(volume)
    name = f"{role} '{volume.name}'"
    _check_values(volume, name)
    try:
        brain = find_brain(volume)
    except InputError as error:
        raise InputError(
            f"{name} shows no closed skull with a brain inside, so it is another part of the body, a phantom or too "
            "small a part of a head; give a head CT from the skull base to the vertex."
        ) from error
    _check_brain(brain, name)


def _check_values(volume: Volume, name: str) -> None:
    from PrognosisLib.images.checks import check_ct

    array = volume.array
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low + high):
        raise InputError(f"{name} has voxels that are NaN or infinite; export the CT again.")
    signed = array.dtype.kind == "i" and -128 <= low <= -100 and WINDOW_END_HU < high <= 127
    if (low >= 0 and 200 <= high <= 255) or signed:
        raise InputError(
            f"{name} has values from {low:g} to {high:g}, so it is an 8-bit export, not a CT in Hounsfield units; give "
            "the original DICOM series, or set the window it was exported with (settings window_width and "
            "window_level, e.g. 80 and 40)."
        )
    if high > WINDOW_END_HU:
        check_ct(volume)
        if high < BONE_HU:
            raise InputError(
                f"{name} ends at {high:g} HU, where bone starts, so no skull can be found in it; give the CT without "
                "a window, or in the brain window of 0 to 80 HU."
            )
    elif high - low < 60.0 or high < WINDOW_BONE_HU:
        raise InputError(
            f"{name} has values from {low:g} to {high:g} only, so it was normalized or cut to a narrow window; give "
            "the CT in Hounsfield units."
        )


def _check_brain(brain: Brain, name: str) -> None:
    median = float(np.median(brain.hu[brain.mask]))
    border = _grown(brain.mask, STEP_MM) & ~brain.mask & brain.in_scan
    near_bone = _grown(brain.bone, 5.0)
    if not BRAIN_HU[0] <= median <= BRAIN_HU[1] or np.mean(near_bone[border]) < SKULL_SHARE:
        raise InputError(
            f"{name} is no head CT, since what its bright shell encloses (median {median:.0f} HU) is not brain inside "
            "a skull; choose a head CT in Hounsfield units."
        )
    if brain.volume_ml < SMALLEST_BRAIN_ML:
        raise InputError(
            f"{name} shows only {brain.volume_ml:.0f} mL of the inside of the skull, less than half of a brain; give a "
            "head CT from the skull base to the vertex."
        )


def _grown(mask: np.ndarray, mm: float) -> np.ndarray:
    """A bool mask (k, j, i) of the coarse lattice with its border moved outward, or inward where `mm` is negative."""
    from scipy import ndimage

    steps = max(1, round(abs(mm) / STEP_MM))
    return (ndimage.binary_dilation if mm > 0 else ndimage.binary_erosion)(mask, iterations=steps)


def quality_flags(volume: Volume, brain: Brain) -> list[Flag]:
    """Every reason to distrust a head CT that was accepted, warnings first.

    Args:
        volume: the CT in HU that `check_head_ct` accepted, with the notes of its reading.
        brain: the inside of the skull that `find_brain` gave for it.
    """
    flags = [*_cut_flags(volume, brain), *_noise_flags(volume, brain), *_scan_flags(volume, brain.windowed)]
    if not brain.windowed:
        flags.extend(flag for flag in (_metal(volume, brain), _contrast(volume, brain)) if flag is not None)
    return sorted(flags, key=lambda flag: flag.severity != "warning")


def cut_areas(volume: Volume, brain: Brain) -> dict[str, float]:
    """Area in cm2 of the brain at the scan's edges: "vertex", "base", and "left", "right", "front", "back"."""
    names = (("left", "right"), ("back", "front"), ("base", "vertex"))
    points, inverse = brain.grid.to_ras(np.argwhere(brain.mask & brain.in_scan)), np.linalg.inv(volume.ijk_to_ras)
    areas = dict.fromkeys(("vertex", "base", "left", "right", "front", "back"), 0.0)
    for axis, vector in enumerate(shape.face_vectors(volume.grid)):
        place = points @ inverse[axis, :3] + inverse[axis, 3]
        step = 1.0 / float(np.linalg.norm(inverse[axis, :3]))  # between the lattice's planes, in mm
        for sign, depth in ((-1, (place + 0.5) * step), (1, (volume.array.shape[2 - axis] - 0.5 - place) * step)):
            way = int(np.argmax(np.abs(vector)))
            side = names[way][int(sign * vector[way] > 0)]
            cut_ml = float(np.count_nonzero(depth < CUT_DEPTH_MM)) * brain.grid.voxel_volume_ml
            areas[side] = max(areas[side], cut_ml / (CUT_DEPTH_MM / 10.0))
    return areas


def _cut_flags(volume: Volume, brain: Brain) -> list[Flag]:
    areas = cut_areas(volume, brain)
    top, base, flags = areas["vertex"], areas["base"], []
    if top > VERTEX_CM2:
        message = (
            f"The scan ends below the vertex ({top:.0f} cm² of brain at its upper edge), so a hematoma near the top "
            "may be cut: use a scan that reaches the top of the skull."
        )
        flags.append(Flag("misses_vertex", "warning", message))
    if base > BASE_CM2:
        message = (
            f"The scan starts above the skull base ({base:.0f} cm² of brain at its lower edge), so a hematoma of the "
            "cerebellum or brain stem may be cut: use a scan that holds the posterior fossa."
        )
        flags.append(Flag("misses_skull_base", "info", message))
    sides = ", ".join(side for side in ("left", "right", "front", "back") if areas[side] > SIDE_CM2)
    if sides:
        message = f"The scan cuts the brain off ({sides}): use a reconstruction whose field of view holds the head."
        flags.append(Flag("cut_side", "warning", message))
    return flags


def _scan_flags(volume: Volume, windowed: bool) -> list[Flag]:
    """What the reader noted, the slices' distance, and the window."""
    flags = [
        Flag(key, severity, f"When the scan was read: {note.rstrip('.')}; {advice}.")
        for note in volume.notes
        for word, key, severity, advice in NOTES
        if word in note
    ]
    thickness = slice_axis(volume.grid)[1]
    if thickness > THICK_MM + 0.01:
        message = (
            f"Slices are {thickness:.1f} mm apart, which makes the volume of a small hematoma uncertain and hides "
            "small bleeds: use slices of 5 mm or less if there are any."
        )
        flags.append(Flag("thick_slices", "info", message))
    if windowed:
        message = (
            f"The scan was cut to a window of {volume.array.min():.0f} to {volume.array.max():.0f} HU, where "
            "calcification, contrast medium and metal cannot be told from blood: use the original DICOM series if "
            "there is one."
        )
        flags.append(Flag("window_clipped", "info", message))
    return flags


def slice_axis(grid: Grid) -> tuple[int, float]:
    """The axis (0 i, 1 j, 2 k) whose lattice planes lie farthest apart, and their distance in mm."""
    distances = 1.0 / np.linalg.norm(np.linalg.inv(grid.ijk_to_ras)[:3, :3], axis=1)
    axis = 2 if distances[2] > distances.max() - 1e-6 else int(np.argmax(distances))
    return axis, float(distances[axis])


@dataclass(frozen=True)
class Noise:
    """Noise in brain: SD in HU, the same for a voxel of NOISE_VOXEL_MM3, sharpness, and width of a pixel in mm.

    Sharpness is 0 for noise that changes slowly, 1 where neighboring pixels are independent, more if they alternate.
    """

    sd: float
    normalized: float
    sharpness: float
    pixel_mm: float


def noise_of(volume: Volume, brain: Brain) -> Noise | None:
    """Noise from small patches of slices, deep in the brain, less their curved trend; None where there is no room."""
    patches, pixel = _patches(volume, brain)
    if len(patches) < 8:
        return None
    size = patches.shape[1]
    y, x = np.mgrid[:size, :size].reshape(2, -1) / size - 0.5
    trend = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1))[0]
    flat = patches.reshape(len(patches), -1)
    rest = (flat - (flat @ trend) @ trend.T).reshape(patches.shape)
    # The quieter half: the others hold sulci, ventricles or calcifications.
    quiet = rest[np.argsort(rest.var(axis=(1, 2)))[: max(4, len(rest) // 2)]]
    variance = quiet.var(axis=(1, 2))
    sd = float(np.sqrt(np.median(variance)))
    steps = sum(np.square(np.diff(quiet, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2))
    sharpness = float(np.median(0.25 * steps / np.maximum(variance, 1e-6)))
    return Noise(sd, sd * float(np.sqrt(1000.0 * volume.grid.voxel_volume_ml / NOISE_VOXEL_MM3)), sharpness, pixel)


def _patches(volume: Volume, brain: Brain) -> tuple[np.ndarray, float]:
    """Squares of PATCH_MM from slices, float (n, row, column), and the width of a pixel in mm."""
    places = np.argwhere(_grown(brain.mask, -12.5))
    places = places[:: 1 + len(places) // PATCHES]
    kji = _indices(volume.grid, brain.grid.to_ras(places))
    through = 2 - slice_axis(volume.grid)[0]
    array = np.moveaxis(volume.array, through, 0)
    kji = np.concatenate([kji[:, [through]], np.delete(kji, through, axis=1)], axis=1)
    pixel = float(np.delete(volume.grid.spacing, 2 - through).mean())
    half = int(np.clip(round(0.5 * PATCH_MM / pixel), 4, 16))
    inside = np.all((kji >= (0, half, half)) & (kji <= np.subtract(array.shape, (1, half, half))), axis=1)
    found = [array[k, j - half : j + half, i - half : i + half] for k, j, i in kji[inside]]
    return (np.stack(found).astype(np.float64) if found else np.zeros((0, 2, 2))), pixel


def _noise_flags(volume: Volume, brain: Brain) -> list[Flag]:
    noise = noise_of(volume, brain)
    if noise is not None and noise.normalized > SHARP_HU and noise.sharpness > np.interp(noise.pixel_mm, *SHARPNESS):
        message = (
            f"The scan looks like a bone or sharp reconstruction (noise {noise.sd:.0f} HU in brain), in which the "
            "border of a hematoma drowns: use the soft-tissue reconstruction of the same scan."
        )
        return [Flag("sharp_kernel", "warning", message)]
    if noise is not None and noise.normalized > NOISY_HU:
        message = (
            f"The scan is noisy ({noise.sd:.0f} HU in brain, as much as {noise.normalized:.0f} HU at 5 mm), so the "
            "border of a hematoma is uncertain: use thicker slices of the same scan if there are any."
        )
        return [Flag("noisy", "warning", message)]
    return []


def _head_box(volume: Volume, brain: Brain, margin_mm: float) -> tuple[slice, slice, slice]:
    """The part of the volume (k, j, i) around the brain, with a margin."""
    filled = np.argwhere(brain.mask)
    low = np.maximum(filled.min(axis=0) - round(margin_mm / STEP_MM), 0)
    high = np.minimum(filled.max(axis=0) + 1 + round(margin_mm / STEP_MM), brain.mask.shape)
    part = brain.grid.sub_grid(tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)))
    return volume.grid.box_around(part)


def _metal(volume: Volume, brain: Brain) -> Flag | None:
    box = _head_box(volume, brain, SKULL_MM)
    values = volume.array[box]
    flat = np.flatnonzero(values >= METAL_HU)
    every = 1 + len(flat) // 200_000
    kji = np.stack(np.unravel_index(flat[::every], values.shape), axis=1)
    hu, points = values[tuple(kji.T)], volume.grid.sub_grid(box).to_ras(kji)
    place = np.clip(_indices(brain.grid, points), 0, np.array(brain.mask.shape) - 1)
    within = _grown(brain.mask, -INSIDE_MM)[tuple(place.T)]
    near = _grown(brain.mask, SKULL_MM)[tuple(place.T)] & (hu >= SKULL_METAL_HU)
    voxel = every * 1000.0 * volume.grid.voxel_volume_ml
    if np.count_nonzero(within) * voxel >= METAL_MM3:
        message = (
            f"There is metal inside the skull (up to {hu[within].max():.0f} HU: a clip, coil or electrode), whose "
            "streaks look like blood: check every mask near it and correct it by hand."
        )
        return Flag("metal", "warning", message)
    if np.count_nonzero(near) * voxel < SKULL_METAL_MM3:
        return None
    streaks = _streaks(brain, place[near])
    reach = "with streaks into the brain" if streaks else "without clear streaks"
    message = f"There is metal at the skull (up to {hu[near].max():.0f} HU) {reach}: check every mask near it."
    return Flag("metal", "warning" if streaks else "info", message)


def _indices(grid: Grid, points: np.ndarray) -> np.ndarray:
    """Nearest voxels (n, 3) as (k, j, i), perhaps outside the lattice, to RAS points (n, 3)."""
    inverse = np.linalg.inv(grid.ijk_to_ras)
    return np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)[:, ::-1]


def _streaks(brain: Brain, metal: np.ndarray) -> bool:
    """Whether brain near the metal, voxels (n, 3) of its lattice, is darker or brighter than tissue, away from bone."""
    place = np.zeros(brain.mask.shape, dtype=bool)
    place[tuple(metal.T)] = True
    hu = brain.hu[_grown(place, STREAK_MM) & _grown(brain.mask, -STEP_MM)]
    return float(np.sum((hu < STREAK_HU[0]) | (hu > STREAK_HU[1]))) > STREAK_SHARE * len(hu)


def vessel_lengths(volume: Volume, brain: Brain) -> tuple[float, float, float]:
    """Summed lengths in mm of bright, slender parts: left, right and near the brain's middle plane."""
    from scipy import ndimage

    box = _head_box(volume, brain, STEP_MM)
    fine = bin_shrink(Volume(volume.array[box], volume.grid.sub_grid(box).ijk_to_ras), FINE_MM)
    skull, above = brain.bone & ~brain.mask, _above_floor(brain)
    # 0 outside, 1 brain, 2 and 3 farther from bone: near the middle plane and beside it, where vessels count.
    coarse = brain.mask.astype(np.uint8)
    for steps in FROM_BONE:
        coarse += above & ~ndimage.binary_dilation(skull, np.ones((3, 3, 3)), steps)
    place = resample(coarse, brain.grid.ijk_to_ras, fine.grid, nearest=True)
    low, median = np.percentile(fine.array[place > 0][::7], [16, 50])
    bright = fine.array >= max(VESSEL_HU, median + VESSEL_RISE, median + 5.0 * (median - low))
    x, beside = _across(brain, fine.grid), bright & (place == 3)
    return (
        _slender(fine, beside & (x < -MIDLINE_MM)),
        _slender(fine, beside & (x > MIDLINE_MM)),
        _slender(fine, bright & (place >= 2) & (np.abs(x) <= MIDLINE_MM)),
    )


def _above_floor(brain: Brain) -> np.ndarray:
    """Brain voxels (k, j, i) at least FLOOR_MM above the skull base around them."""
    from scipy import ndimage

    floor = np.where(brain.mask.any(axis=0), np.argmax(brain.mask, axis=0), 0)
    floor = ndimage.maximum_filter(floor, FLOOR_STEPS) + FLOOR_MM / STEP_MM
    return brain.mask & (np.arange(len(brain.mask))[:, None, None] >= floor)


def _slender(fine: Volume, bright: np.ndarray) -> float:
    """Sum of the lengths (mm) of the parts that are long for their volume and neither bone nor metal."""
    from scipy import ndimage

    labels, count = ndimage.label(bright, structure=np.ones((3, 3, 3)))
    total = 0.0
    for label, found in enumerate(ndimage.find_objects(labels, count), start=1):
        length = float(np.linalg.norm([s.stop - s.start for s in found][::-1] * fine.grid.spacing))
        if length < VESSEL_MM:
            continue
        hu = fine.array[found][labels[found] == label]
        volume = len(hu) * 1000.0 * fine.grid.voxel_volume_ml
        if volume < VESSEL_FILL * length**3 and np.mean(hu >= VESSEL_END_HU) < 0.1:
            total += length
    return total


def _across(brain: Brain, grid: Grid) -> np.ndarray:
    """Distance in mm of a lattice's voxels (k, j, i) from the brain's middle plane, positive to the right.

    The plane is upright and holds the long axis of the brain seen from above, so a head that is turned does no harm.
    """
    points = brain.grid.to_ras(np.argwhere(brain.mask))
    values, vectors = np.linalg.eigh(np.cov(points[:, :2].T))
    normal = np.array([*vectors[:, 0], 0.0]) * (1.0 if vectors[0, 0] >= 0 else -1.0)
    if normal[0] < 0.75 or values[1] < 1.15 * values[0]:  # over 40 degrees, or a round head: not to be trusted
        normal = np.array([1.0, 0.0, 0.0])
    step = normal @ grid.ijk_to_ras[:3, :3]
    k, j, i = np.ogrid[tuple(slice(n) for n in grid.shape)]
    return step[0] * i + step[1] * j + (step[2] * k + normal @ (grid.ijk_to_ras[:3, 3] - points.mean(axis=0)))


def _contrast(volume: Volume, brain: Brain) -> Flag | None:
    left, right, middle = vessel_lengths(volume, brain)
    if min(left, right) < BESIDE_MM or left + right + middle < ALL_MM:
        return None
    length = f"{left + right + middle:.0f} mm of bright vessels on both sides"
    message = (
        f"The scan seems to hold contrast medium ({length}), which looks like blood: use the scan before contrast."
    )
    return Flag("contrast_enhanced", "warning", message)
