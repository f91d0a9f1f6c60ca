"""The model card of a spleen bundle, written from its metadata and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PrognosisLib.learning.stopping import stopping_lines

DATA_LICENSE = """Training images of the segmentation networks

BTCV, "Multi-Atlas Labeling Beyond the Cranial Vault" (Synapse syn3193805; Landman, Xu, Igelsias, Styner, Langerak and
Klein, 2015), abdominal CT with organ labels. A secondary source states CC BY 4.0; attribution is given here. No image
of the set, and none computed from it, is part of this bundle: only network weights trained on it.

Simulated CT and simulated patients: made by this project, Apache-2.0, no real person behind them.
"""

CARD = """# SpleenVolume: model card

Research and teaching, not for clinical use.

## What it does
Two networks find and draw the spleen (and, as a by-product, the liver) on CT; risk models estimate survival and
hepatic decompensation after TACE. Idea: Mueller et al., Eur Radiol 2022;32:6302-6313, doi 10.1007/s00330-022-08737-z.
The paper's network, cut-off and risk model were not available: architecture, training, thresholds and models are this
project's own choice, and no parity is claimed.

Published, other data: Dice 0.96 on 100 patients (training and validation); of 227 others, 223 masks (98.2 %) accepted.

## Networks
Half-resolution U-Nets with additive skips and batch normalization. Coarse: the whole scan at {coarse[spacing_mm]} mm.
Fine: the box around the spleen at {fine[spacing_mm]} mm. Input: HU clipped to [-125, 275] and scaled to [-1, 1];
output: logits of background, spleen, liver. Weights are stored once, kernels as float16; the ONNX graphs read them
from there.

## Training data
{training}

## Measured on patients that training never saw
{figures}

## Interval of the volume
{interval}

## Risk models: simulated cohort
Survival (Cox) and decompensation (logistic) were fitted to a simulated cohort with a documented causal model
(SpleenVolumeLib/simulation.py), not to patients. Every number that comes from them says "simulated cohort". Their own
figures, beside the optimum that the causal model allows, are in models/survival.json and models/decompensation.json.

## Known weaknesses
- Few real training patients, all portal venous CT; other contrast phases come from augmentation and simulation.
- Situs inversus, wandering spleen, splenosis, large splenic tumors and infarcts, and children were not in the data.
- A liver mask is a by-product at the coarse spacing away from the spleen.
- Sizes under 50 mL were not in the data.

## Reproduce
    {command}

Seed {seed}; steps: {steps}. Versions: {versions}.
"""


def make_card(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown; `facts` is the bundle's metadata, `rows` the held-out patients as `evaluate` writes them."""
    training = facts["training"]
    return CARD.format(
        coarse=facts["stages"]["coarse"],
        fine=facts["stages"]["fine"],
        training=_training(training),
        figures=_figures(facts["measured"], rows),
        interval=_interval(facts["interval"]),
        command=training["command"],
        seed=training["seed"],
        steps=", ".join(f"{name} {count}" for name, count in training["steps"].items()),
        versions=", ".join(f"{name} {version}" for name, version in training["versions"].items()),
    )


def _training(training: Mapping[str, Any]) -> str:
    real = training["training"]
    count = training["training_simulated"]
    lines = [f"{count} simulated CT: abdomens of every phase, coverage and spleen size, and other parts of the body."]
    if real:
        lines.insert(0, f"{len(real)} real patients: {', '.join(real)} (see data_license.txt).")
    if training["validation"]:
        lines.append(f"Held out, split by patient: {', '.join(training['validation'])}.")
    lines += stopping_lines(training)
    if training.get("note"):
        lines.append(training["note"])
    return "\n\n".join(lines)


def _figures(measured: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "Nothing was held out, so nothing was measured."
    lines = ["| case | true mL | found mL | Dice | HD95 mm |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['case']} | {row['spleen_true_mL']:.1f} | {row['spleen_mL']:.1f} | {row['spleen_dice']:.3f} "
        f"| {row['spleen_hd95_mm']:.1f} |"
        for row in rows
    ]
    for organ, one in measured.items():
        lines.append("")
        lines.append(
            f"{organ.capitalize()}, n = {one['n']}: Dice mean {one['dice_mean']:.3f}, worst {one['dice_worst']:.3f}; "
            f"median absolute volume error {one['volume_error_median_percent']:.1f} %; mean 95 % Hausdorff distance "
            + ("none, since it was never found." if one["hd95_mean_mm"] is None else f"{one['hd95_mean_mm']:.1f} mm.")
            + (f" Not found in {one['missed']}." if one["missed"] else "")
        )
    return "\n".join(lines)


def _interval(interval: Mapping[str, Any]) -> str:
    if not interval["n"]:
        return "Not calibrated: no patients were held out."
    return (
        f"From the network: the volumes enclosed at log-odds +{interval['logit']} and -{interval['logit']}. For a mask "
        f"that was drawn or corrected by hand: surface x {interval['boundary_mm']} mm. Both were set on the "
        f"{interval['n']} held-out patients for 95 %; calibrated on the others, the interval held the true volume of "
        f"{interval['covers_when_left_out']} left-out patients."
    )
