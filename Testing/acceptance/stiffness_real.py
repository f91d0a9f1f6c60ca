"""How LiverStiffness's masks hold on real MR that training never saw, and as other scanners would give it.

Usage: stiffness_real.py COHORT.csv [--bundle DIR]; the cohort (case, t2, labels) names validation patients only. Prints
Dice and volume error of liver and spleen for each variant. A CT in ../shared/data, where it lies beside the checkout,
and the T2 given as T1 must be refused.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from variants import Pair, finer, slices_of, tilted, upside_down

from LiverStiffnessLib.labels import LIVER, SPLEEN
from LiverStiffnessLib.learning.fitting import read_case
from LiverStiffnessLib.pipeline import StiffnessPipeline
from PrognosisLib.cohort import read_cohort
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.volume import Volume

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SEGMENTS = {"Liver": LIVER, "Spleen": SPLEEN}


def darker(pair: Pair) -> Pair:
    """Another gain and contrast: the gray values' power 0.7, a tenth as large."""
    image, labels = pair
    low = float(image.array.min())
    top = float(image.array.max()) - low
    changed = 0.1 * top * ((image.array - low) / top) ** 0.7
    return replace(image, array=np.round(changed).astype(np.int16)), labels


def noisy(pair: Pair) -> Pair:
    """Rician noise of a tenth of the body's mean."""
    image, labels = pair
    body = image.array[image.array > 0.1 * np.percentile(image.array, 99.5)].mean()
    noise = np.random.default_rng(0).normal(0, 0.1 * body, (2, *image.array.shape))
    return replace(image, array=np.round(np.hypot(image.array + noise[0], noise[1])).astype(np.int16)), labels


VARIANTS: dict[str, Callable[[Pair], Pair]] = {
    "as it is": lambda pair: pair,
    "512 x 512": lambda pair: finer(pair, 2, fill=0),
    "3 mm slices": lambda pair: slices_of(pair, 3.0, fill=0),
    "10 mm slices": lambda pair: slices_of(pair, 10.0, fill=0),
    "head to feet": upside_down,
    "oblique 15 degrees": lambda pair: tilted(pair, 15.0, fill=0),
    "another gain": darker,
    "noise 10 %": noisy,
}


def scores(pipeline: StiffnessPipeline, pair: Pair) -> list[float]:
    """Dice of liver and of spleen."""
    image, labels = pair
    found = pipeline.segment(Case({"t2": image}))
    overlaps = []
    for name, label in SEGMENTS.items():
        mask = found.mask(name)
        truth = labels.array == label
        overlaps.append(dice(np.zeros(truth.shape, bool) if mask is None else mask.full() > 0, truth))
    return overlaps


def refusals(pipeline: StiffnessPipeline, image: Volume) -> None:
    tries = {"the T2 given as T1": Case({"t1": image})}
    for name in ("abdomen-ct/chaos/chaos_ct_set3_ct_256.nii.gz",):
        if (REAL / name).exists():
            tries[name] = Case({"t2": read_volume(REAL / name, "MR")})
    for name, case in tries.items():
        try:
            pipeline.segment(case)
            print(f"{name}: not refused")
        except InputError as error:
            print(f"{name}: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--bundle", type=Path)
    arguments = parser.parse_args()
    pipeline = SYSTEMS["stiffness"].make_pipeline(arguments.bundle)
    read = [read_case(case) for case in read_cohort(arguments.cohort, ("t2", "labels"))]
    pairs = [(images["T2"], labels) for images, labels in read]
    print(f"{'variant':22s}{'liver':>7s}{'worst':>7s}{'spleen':>8s}{'worst':>7s}  livers")
    for name, change in VARIANTS.items():
        livers, spleens = zip(*(scores(pipeline, change(pair)) for pair in pairs), strict=True)
        each = " ".join(f"{one:.3f}" for one in livers)
        print(
            f"{name:22s}{np.mean(livers):7.3f}{min(livers):7.3f}{np.mean(spleens):8.3f}{min(spleens):7.3f}  {each}",
            flush=True,
        )
    refusals(pipeline, pairs[0][0])


if __name__ == "__main__":
    main()
