"""How ICHExpansion holds on real head CT that training never saw, and on the same CT as other scanners would give them.

Usage: ich_real.py COHORT.csv [--bundle DIR]; the cohort (case, ct, labels) names validation patients only. Prints Dice
and volume error of the hematoma for each variant; voxels labeled as doubtful count neither way. The plain head CT in
../shared/data, where it lies beside the checkout, must stay free of hematoma.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from variants import Pair, finer, slices_of, tilted, upside_down

from ICHExpansionLib.labels import HEMATOMA, IGNORE
from ICHExpansionLib.learning.fitting import FILES, load_case
from ICHExpansionLib.pipeline import ICHPipeline
from PrognosisLib.cohort import read_cohort
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case, run
from PrognosisLib.systems import SYSTEMS

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"
VARIANTS: dict[str, Callable[[Pair], Pair]] = {
    "as it is": lambda pair: pair,
    "512 x 512": lambda pair: finer(pair, 2),
    "1 mm slices": lambda pair: slices_of(pair, 1.0),
    "8 mm slices": lambda pair: slices_of(pair, 8.0),
    "head to feet": upside_down,
    "gantry tilt 20 degrees": lambda pair: tilted(pair, 20.0),
}


def scores(pipeline: ICHPipeline, pair: Pair) -> tuple[float, float]:
    """Dice and absolute volume error in percent."""
    image, labels = pair
    valid, truth = labels.array != IGNORE, labels.array == HEMATOMA
    mask = pipeline.segment(Case({"ct": image})).mask("Hematoma")
    found = np.zeros(truth.shape, bool) if mask is None else mask.full().astype(bool) & valid
    return dice(truth, found), abs(100.0 * (found.sum() / truth.sum() - 1.0))


def plain_head(pipeline: ICHPipeline) -> None:
    found = run(pipeline, Case({"ct": read_volume(REAL / "head-ct/ge-plain")}))
    print(f"plain head CT (tilt, irregular steps): {found.summary}")
    for flag in found.flags:
        print(f"  {flag.severity}: {flag.message}")
    for name in ("abdomen-ct/chaos/chaos_ct_set3_ct_256.nii.gz", "abdomen-mri/totalsegmentator/example_mr_sm.nii.gz"):
        try:
            pipeline.segment(Case({"ct": read_volume(REAL / name)}))
            print(f"{name}: not refused")
        except InputError as error:
            print(f"{name}: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--bundle", type=Path)
    arguments = parser.parse_args()
    pipeline = SYSTEMS["ich"].make_pipeline(arguments.bundle)
    pairs = [load_case(case) for case in read_cohort(arguments.cohort, FILES)]
    pairs = [pair for pair in pairs if len(pair[0].array) > 1]
    print(f"{'variant':24s}{'mean':>7s}{'worst':>7s}{'vol. error':>11s}  per patient")
    for name, change in VARIANTS.items():
        found = [scores(pipeline, change(pair)) for pair in pairs]
        overlap, error = zip(*found, strict=True)
        each = " ".join(f"{one:.3f}" for one in overlap)
        print(f"{name:24s}{np.mean(overlap):7.3f}{min(overlap):7.3f}{np.median(error):9.1f} %  {each}", flush=True)
    if REAL.exists():
        plain_head(pipeline)


if __name__ == "__main__":
    main()
