"""The model card of a FibrosisVideo bundle, written from its metadata and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PrognosisLib.framewise.lattice import USUAL_DEPTH_MM
from PrognosisLib.learning.stopping import stopping_lines

from ..labels import MODELS, PRODUCT

DATA_LICENSE = """Training images of the networks

Simulated cines, their signs and their stages: made by this project, Apache-2.0, no real person behind them. No real
image trained any network of this bundle.

Calibrated against, but not trained on: liver sweep of ImFusion GmbH, CC BY 4.0. Measured on, but not trained on:
frames of the set "ussimandsegm" (Kaggle), whose license is not verified.
"""
OWN_DATA_LICENSE = """Training images of the networks

The liver network: cines simulated by this project, Apache-2.0. The classifiers: the cohort that the user gave; its
terms are the user's to state here.
"""

CARD = """# FibrosisVideo: model card

Research and teaching, not for clinical use.

## What it does
One network draws the liver in each frame of a B-mode cine, another encodes the frames. Three classifiers read windows
of {window} of these at {rate:g} frames per second, and their scores are averaged over the cine: a 3D-CNN (the
product), and as rivals a 2D-CNN with LSTM and a 2D-CNN on single frames. Four ascending thresholds turn a score into
the probabilities of F1, F2, F3 and F4 or higher. Idea: doi 10.12464/j.issn.0253-9802.2026-0255.

Published, other data, 17 test patients: AUC for F2 or higher 0.847 (3D), 0.761 (2D with LSTM), 0.753 (2D).

## Networks
Frames are brought to {pixel_mm:g} mm pixels with the probe's face at one place. Liver: 2D U-Net, widths
{liver_widths}. The encoder sees gray values and the probability of liver; widths {frame_widths}. On its cells: 3D
convolutions of {film_units} units, or an LSTM of {lstm_units}. Features are pooled over the liver and a rim of one
cell of 8 pixels, and the score is linear in them (in the LSTM's states for that rival), so that the Grad-CAM
(gradient times activation in each cell, negative values cut) adds up to the score exactly; for the LSTM to first
order.

## Training data
{training}

## Liver on images that training never saw
{liver}

## Stage: {cohort}
{assumptions}

Five-fold cross-validation by patient, training patients, F2 or higher:

{folds}

Test patients, untouched:

{test}

Ahead: how far the 3D network's AUC is above (DeLong). Share: of what the causal model's own optimum has over 0.5.
Precision, recall and F1 are means over both classes. Calibration of the 3D network: {calibration}.

{reading}

## Known weaknesses
- What the networks know of fibrosis is what the causal model says; they know nothing of real patients.
- Simulated anatomies are coarse beside real ones: no gallbladder stones, no bowel wall, no focal lesions, few vessels.
- Cines of other organs are not refused as long as something in them looks like a liver.
- A cine that does not tell the size of its pixels is taken to be {usual_depth:g} mm deep; signs of millimeter size are
  misread where that is wrong.
- Spleen size is a sign of the causal model that a cine of the liver does not show.

## Reproduce
    {command}

Seed {seed}; steps of the liver network {liver_steps}, of the encoder {encoder_steps}, of each classifier {steps}.
Versions: {versions}.
"""

SIMULATED_NOTE = """No public data has cines with a biopsy stage. Stages and their signs were simulated from a
documented causal model (FibrosisVideoLib/simulation/causes.py: nodular surface, irregular capsule, coarse texture,
attenuation, blunt edge, walls and caliber of the portal vein; not driven: steatosis, body size, scanner, settings,
operator, breathing). Every number that comes from them says "simulated cohort". The oracle knows all signs without
noise."""
MEASURED_NOTE = "The classifiers were trained on the cohort's own patients with their stages."

FOLDS_NOTE = (
    "The networks of the cross-validation took all steps, and the readouts are fitted to their scores: where a final "
    "network took far fewer, the probabilities may be off."
)


def make_card(facts: Mapping[str, Any]) -> str:
    """Markdown; `facts` is the bundle's metadata."""
    training, measured, network = facts["training"], facts["measured"], facts["network"]
    is_simulated = training["cohort"]["simulated"]["risk"]
    return CARD.format(
        window=network["window"],
        rate=network["frames_per_second"],
        pixel_mm=network["pixel_mm"],
        liver_widths=_listed(network["liver_widths"]),
        film_units=network["film_units"],
        frame_widths=_listed(network["frame_widths"]),
        lstm_units=network["lstm_units"],
        training=_training(training),
        liver=_liver(measured),
        cohort="simulated cohort" if is_simulated else "own cohort",
        assumptions=SIMULATED_NOTE if is_simulated else MEASURED_NOTE,
        folds=_table(measured["folds"]),
        test=_table(measured.get("test", {})),
        calibration=_calibration(measured),
        reading=_reading(measured),
        usual_depth=USUAL_DEPTH_MM,
        command=training["command"],
        seed=training["seed"],
        liver_steps=training["liver_steps"],
        encoder_steps=training["encoder_steps"],
        steps=training["steps"],
        versions=", ".join(f"{name} {version}" for name, version in training["versions"].items()),
    )


def _listed(numbers: Any) -> str:
    return ", ".join(str(n) for n in numbers)


def _training(training: Mapping[str, Any]) -> str:
    lines = [
        f"Liver and encoder: single frames of {training['stills']} simulated patients; the liver also odd views of "
        "others."
    ]
    if training["cohort_cines"]:
        lines.append(
            f"Classifiers, on the encoder as it is: {training['cohort_cines']} cines of the user's own cohort."
        )
    else:
        lines.append(
            f"Classifiers, on the encoder as it is: {training['simulated']} other simulated patients, "
            f"{training['cines_each']} cines each. All learn the causal model's own probabilities of the stages given "
            "the signs, which teach the same as the stages with less noise."
        )
    lines.append(f"Test: {training['tests']} patients with one cine each, seeds apart from those of training.")
    stopped = stopping_lines(training)
    if stopped:
        lines += [*stopped, FOLDS_NOTE]
    if training.get("note"):
        lines.append(training["note"])
    return "\n\n".join(lines)


def _liver(measured: Mapping[str, Any]) -> str:
    found = measured.get("liver")
    lines = []
    if found:
        lines.append(
            f"- Simulated cines, n = {found['n']}: Dice mean {found['dice_mean']:.3f}, median "
            f"{found['dice_median']:.3f}, worst {found['dice_worst']:.3f}."
        )
    real = measured.get("liver_real")
    if real:
        lines.append(
            f"- Real frames with a liver outline (trained on simulation only), n = {real['n']} frames of "
            f"{real['subjects']} subjects: Dice mean {real['dice_mean']:.3f} ({real['dice_lower']:.3f} to "
            f"{real['dice_upper']:.3f}), median {real['dice_median']:.3f}, worst {real['dice_worst']:.3f}. "
            "How frames are varied in training was chosen with an eye on these frames; others may be worse."
        )
    return "\n".join(lines) or "Not measured."


def _table(figures: Mapping[str, Any]) -> str:
    if not figures:
        return "Not measured: too few patients."
    lines = [
        "| | n, F2 or higher | AUC (95 %) | share | ahead (95 %), p | accuracy | precision | recall | F1 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in figures.items():
        title = MODELS.get(name, name)
        cells = [title, f"{one['n']}, {one['positive']}", _ends(one["auc"]), str(one.get("share_of_oracle") or "")]
        ahead = one.get("product_ahead")
        cells.append("" if ahead is None else f"{_ends(ahead)}, {ahead['p']:.3g}")
        cells += [f"{one[key]['value']:.3f}" for key in ("accuracy", "precision_macro", "recall_macro", "f1_macro")]
        lines.append(f"| {' | '.join(cells)} |")
    best = figures.get(PRODUCT, {}).get("auc_oracle")
    if best is not None:
        lines.append(f"\nAUC of the oracle on the same patients: {best:.3f}.")
    return "\n".join(lines)


def _ends(one: Mapping[str, float]) -> str:
    return f"{one['value']:.3f} ({one['lower']:.3f} to {one['upper']:.3f})"


def _calibration(measured: Mapping[str, Any]) -> str:
    found = measured.get("calibration")
    if not found:
        return "not measured"
    return f"slope {_ends(found['slope'])}, intercept {_ends(found['intercept'])}, Brier score {found['brier']:.3f}"


def _reading(measured: Mapping[str, Any]) -> str:
    found = measured.get("unusable")
    if found is None:
        return ""
    return f"{found['cines']} of {found['n']} test cines had no usable window and are left out of the networks' rows."
