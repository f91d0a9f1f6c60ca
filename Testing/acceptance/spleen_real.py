"""How SpleenVolume holds on real CT that training never saw, and on the same CT as other scanners would give them.

Usage: spleen_real.py COHORT.csv [--bundle DIR]; the cohort (case, ct, labels) names validation patients only.
Prints Dice and volume error for each variant; other sets follow where ../shared/data lies beside the checkout.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from variants import Pair, on_grid, slices_of, upside_down

from PrognosisLib.cohort import read_cohort
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.volume import Grid, Volume
from SpleenVolumeLib.pipeline import SpleenPipeline
from SpleenVolumeLib.workbench import FILES, load_case

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SPLEEN, LIVER = 1, 6


def wide(pair: Pair) -> Pair:
    """A field of view of 512 x 512 pixels with air around the body."""
    image = pair[0]
    k, j, i = image.array.shape
    matrix = image.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ [-(512 - i) // 2, -(512 - j) // 2, 0]
    return on_grid(pair, Grid((k, 512, 512), matrix))


def tight(pair: Pair) -> Pair:
    """Only 15 mm above and below the spleen."""
    image, labels = pair
    inside = np.flatnonzero((labels.array == SPLEEN).any(axis=(1, 2)))
    border = round(15 / image.grid.slice_distance)
    part = slice(max(0, int(inside[0]) - border), min(len(labels.array), int(inside[-1]) + 1 + border))
    matrix = image.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 2] * part.start
    return replace(image, array=image.array[part], ijk_to_ras=matrix), Volume(labels.array[part], matrix, "labels")


def without_contrast(pair: Pair) -> Pair:
    """Organs and vessels brought to unenhanced means, texture kept: a stand-in, there is no such real set here."""
    image, labels = pair
    hu = image.array.astype(np.float32)
    for members, mean in (((1,), 48), ((6,), 56), ((2, 3), 33), ((8, 9, 10), 42), ((11,), 40)):
        inside = np.isin(labels.array, members)
        if inside.any():
            hu[inside] += mean - hu[inside].mean()
    return replace(image, array=np.round(hu).astype(np.int16)), labels


VARIANTS: dict[str, Callable[[Pair], Pair]] = {
    "as it is": lambda pair: pair,
    "512 x 512, wide": wide,
    "0.5 mm slices": lambda pair: slices_of(pair, 0.5),
    "8 mm slices": lambda pair: slices_of(pair, 8.0),
    "head to feet": upside_down,
    "tight coverage": tight,
    "no contrast (edited)": without_contrast,
}


def segment(pipeline: SpleenPipeline, image: Volume, name: str) -> np.ndarray:
    mask = pipeline.segment(Case({"ct": image})).mask(name)
    return np.zeros(image.array.shape, bool) if mask is None else mask.full().astype(bool)


def others(pipeline: SpleenPipeline) -> None:
    """Sets with other labels: agreement with another network's spleen, CHAOS liver truth, a head."""
    image = read_volume(REAL / "abdomen-ct/totalsegmentator/example_ct.nii.gz")
    other = read_volume(REAL / "abdomen-ct/totalsegmentator/example_seg.nii.gz", "labels").array
    for name, label in (("Spleen", 1), ("Liver", 5)):
        # The other network's labels cover the last slices only, whatever their header says.
        found = segment(pipeline, image, name)[-len(other) :]
        print(f"example_ct, {name}: agreement with another network {dice(found, other == label):.3f}")
    folder = REAL / "abdomen-ct/chaos"
    image = read_volume(folder / "chaos_ct_set3_ct_256.nii.gz")
    truth = read_volume(folder / "chaos_ct_set3_liver_256.nii.gz", "labels").array > 0
    print(f"CHAOS CT, liver: Dice {dice(truth, segment(pipeline, image, 'Liver')):.3f}; spleen (no truth): "
          f"{segment(pipeline, image, 'Spleen').sum() * image.grid.voxel_volume_ml:.0f} mL")  # fmt: skip
    try:
        head = read_volume(REAL / "head-ct/ge-plain")
        print(f"head CT, spleen voxels: {int(segment(pipeline, head, 'Spleen').sum())}")
    except InputError as error:
        print(f"head CT: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--bundle", type=Path)
    arguments = parser.parse_args()
    pipeline = SYSTEMS["spleen"].make_pipeline(arguments.bundle)
    cases = [(case.case, load_case(case)) for case in read_cohort(arguments.cohort, FILES)]
    print(f"{'variant':22s}{'mean':>7s}{'worst':>7s}{'vol. error':>11s}  per patient")
    for name, change in VARIANTS.items():
        scores, errors = [], []
        for _, pair in cases:
            image, labels = change(pair)
            truth = labels.array == SPLEEN
            found = segment(pipeline, image, "Spleen")
            scores.append(dice(truth, found))
            errors.append(abs(100.0 * (found.sum() / truth.sum() - 1.0)))
        each = " ".join(f"{score:.3f}" for score in scores)
        print(f"{name:22s}{np.mean(scores):7.3f}{min(scores):7.3f}{np.median(errors):9.1f} %  {each}", flush=True)
    if REAL.exists():
        others(pipeline)


if __name__ == "__main__":
    main()
