"""The model card of an ICHExpansion bundle, written from its metadata and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PrognosisLib.learning.stopping import stopping_lines

DATA_LICENSE = """Training images of the network: non-commercial use only

PHE-SICH-CT-IDS (Ma et al., arXiv 2308.10521), non-contrast head CT of spontaneous intracerebral hemorrhage with masks
of the perihematomal edema: for non-commercial use. Weights trained on it carry that term.

BHSD (Wu et al., 2023), single slices of head CT with masks of five kinds of hemorrhage. Its labels are under the MIT
license; the CT come from the RSNA 2019 intracranial hemorrhage challenge, whose rules allow non-commercial use only.

No image of either set, and none computed from it, is part of this bundle: only network weights trained on them. These
weights are therefore for non-commercial use (research and teaching) only; the code of this project is Apache-2.0.

Simulated heads, hemorrhages and outcomes: made by this project, Apache-2.0, no real person behind them.
"""

CARD = """# ICHExpansion: model card

Research and teaching, not for clinical use. The weights are for **non-commercial use only** (see data_license.txt).

## What it does
One multi-task network reads a non-contrast head CT slice by slice (with both neighbors): it segments parenchymal
hematoma, intraventricular blood and perihematomal edema, tells whether a slice shows parenchymal hematoma, and gives
features of the hematoma's slices, which attention pools into one DL score per patient. Three models stand side by side:
Image-to-HE (DL score), Clinical-to-HE (logistic regression, forward selection by likelihood ratio) and Integrated-to-HE
(both). Idea: Neuroradiology 2024, doi 10.1007/s00234-024-03298-y (572 patients). Its network, normalization of the DL
score and clinical predictors could not be read: architecture, pooling (two attention heads, the sum over slices and
functions of the volumes), normalization (1st to 99th percentile of the training patients) and candidates are this
project's own choice, and no parity is claimed.

Published, other data (test set of about 107 patients, 21 of whom expanded, by our inference): detection AUC 0.99; AUC
of image, clinical and integrated model 0.76, 0.81 and 0.83.

## Network
2D U-Net with a strided stem, additive skips and batch normalization, feature widths {widths}. Input: slices of the scan
itself (thin ones averaged to slabs of at most 5.5 mm) on pixels of 1 mm, HU clipped to [0, 80] and scaled to [-1, 1].
Output: logits of background, hematoma, intraventricular blood, edema and extra-axial blood, one detection logit, 48
features and their map. A score that is linear in the features is a sum over pixels: that is the heat map.

## Training data
{training}

**Labels of PHE-SICH-CT-IDS are derived, not drawn.** The set has masks of the edema only. The hematoma was taken as the
bright region that the rim encloses or touches: brighter than half way between the edema's median and the clot's upper
quartile (42 to 52 HU), connected, without skull, holes filled, followed into at most two slices beyond the last rim.
Other bright places, and the surroundings of clots without a rim in their slice, are ignored in training and figures.
All derived labels were looked at; 24 (operated), 32, 39, 45 and 48 (clot not to be told from ventricle, edema or
nothing) were left out. The images are windowed to [0, 80] HU and their spacing is nominal: volumes in mL from them are
nominal too. Intraventricular and extra-axial blood was learned from BHSD slices and simulated heads.

## Measured on scans that training never saw
{figures}

## Interval of the volume
{interval}

## Expansion: simulated cohort
No public data has follow-up hematomas. Outcomes were simulated on the simulated and the real training images from a
documented causal model (ICHExpansionLib/simulation/causes.py: volume, density heterogeneity, shape irregularity,
islands, black hole, intraventricular blood, time from onset, anticoagulant, antiplatelet, pressure).
The causes were measured on the truth masks, of simulated images before noise was added. Every number that comes from
the models says "simulated cohort". An oracle is the best that the causal model allows: from the image's true causes,
from the clinical values, from all. The expected share is over all outcomes that the test patients may have, not the one
that was drawn.

{expansion}

## Known weaknesses
- The probability from which a scan counts as showing hematoma (0.93) was set on the simulated test scans and one plain
  head CT, so their false positives and misses are not wholly untouched by choice. Subarachnoid blood beside the brain
  is the commonest false hematoma.
- Few real training patients, mostly deep hemorrhages of one collection; lobar, cerebellar and brain stem hemorrhages,
  intraventricular and extra-axial blood come mostly from simulation.
- Where the image is cut to a window of 0 to 80 HU, calcification cannot be told from blood.
- Hemorrhage after trauma, into a tumor or after an infarct, and operated patients were not in the data.
- The risk models know nothing of real patients.

## Reproduce
    {command}

Seed {seed}; steps: {steps}. Versions: {versions}.
"""


def make_card(
    facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], models: Mapping[str, Mapping[str, Any]]
) -> str:
    """Markdown; `facts` is the bundle's metadata, `rows` the held-out cases as `evaluate` writes them."""
    training = facts["training"]
    return CARD.format(
        widths=", ".join(str(n) for n in facts["network"]["widths"]),
        training=_training(training),
        figures=_figures(facts["measured"], rows),
        interval=_interval(facts["interval"]),
        expansion=_expansion(models),
        command=training["command"],
        seed=training["seed"],
        steps=training["steps"],
        versions=", ".join(f"{name} {version}" for name, version in training["versions"].items()),
    )


def _training(training: Mapping[str, Any]) -> str:
    real, held = training["training"], training["validation"]
    lines = [f"{training['training_simulated']} simulated heads with and without hemorrhage."]
    if real:
        scans = [name for name in real if name.startswith("phe_")]
        lines.insert(0, f"{len(scans)} real scans and {len(real) - len(scans)} real slices: {', '.join(real)}.")
    if held:
        lines.append(f"Held out, split by patient: {', '.join(held)}.")
    lines += stopping_lines(training)
    if training.get("note"):
        lines.append(training["note"])
    return "\n\n".join(lines)


def _figures(measured: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    titles = {
        "real": "Real scans (derived labels)",
        "real_slices": "Real single slices (drawn labels)",
        "simulated": "Simulated test scans",
    }
    parts = [_case_table(rows)] if rows else ["No real case was held out."]
    for key, title in titles.items():
        if measured.get(key, {}).get("n"):
            parts.append(f"### {title}\n" + "\n".join(_lines(measured[key])))
    return "\n\n".join(parts)


def _case_table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| case | true mL | found mL | Dice | HD95 mm |", "|---|---|---|---|---|"]
    for row in rows:
        if "hematoma_dice" in row:
            lines.append(
                f"| {row['case']} | {row['hematoma_true_ml']:.1f} | {row['hematoma_ml']:.1f} | "
                f"{row['hematoma_dice']:.3f} | {row['hematoma_hd95_mm']:.1f} |"
            )
    return "\n".join(lines)


def _lines(one: Mapping[str, Any]) -> list[str]:
    names = {"hematoma": "Hematoma", "ventricular": "Intraventricular blood", "edema": "Edema"}
    lines = [_mask_line(names[key], one[key]) for key in names if key in one]
    if one.get("errors"):
        lines.append(f"- {one['errors']} could not be run.")
    for key, what in (("detection_scans", "scans"), ("detection_slices", "slices")):
        if key in one:
            found = one[key]
            lines.append(
                f"- Detection AUC over {what}: {found['value']:.3f} ({found['lower']:.3f} to {found['upper']:.3f}), "
                f"n = {found['n']}, {found['with_blood']} with parenchymal blood."
            )
    if "without_hematoma" in one:
        none = one["without_hematoma"]
        lines.append(
            f"- Scans without parenchymal blood, n = {none['n']}: false hematoma in {none['with_false_positive']}, "
            f"mean {none['false_positive_ml_mean']:.2f} mL, most {none['false_positive_ml_most']:.1f} mL."
        )
    return lines


def _mask_line(name: str, one: Mapping[str, Any]) -> str:
    text = (
        f"- {name}, n = {one['n']}: Dice mean {one['dice_mean']:.3f}, median {one['dice_median']:.3f}, worst "
        f"{one['dice_worst']:.3f}; median absolute volume error {one['volume_error_ml_median_absolute']:.1f} mL "
        f"({one['volume_error_percent_median_absolute']:.0f} %)"
    )
    if "abc2_error_percent_median_absolute" in one:
        text += (
            f", that of ABC/2 {one['abc2_error_percent_median_absolute']:.0f} % (median "
            f"{one['abc2_error_percent_median']:+.0f} %)"
        )
    if "interval_covers" in one:
        text += f"; the volume's interval held the true one in {one['interval_covers']}"
    return text + "."


def _interval(interval: Mapping[str, Any]) -> str:
    if not interval["n"]:
        return "Not calibrated: too few scans were held out."
    return (
        f"From the network: the volumes enclosed at log-odds +{interval['logit']} and -{interval['logit']}. For a mask "
        f"that was drawn or corrected by hand: surface x {interval['boundary_mm']} mm. Both were set on "
        f"{interval['n']} held-out scans for 95 %; calibrated on the others, the interval held the true volume of "
        f"{interval['covers_when_left_out']} left-out scans."
    )


def _expansion(models: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "| model | AUC (95 %) | oracle | share of oracle - 0.5 | expected share | slope | predictors |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ("image", "clinical", "integrated"):
        figures = models[name]["performance"]
        auc, best = figures["auc"], figures.get("auc_oracle")
        lines.append(
            f"| {name} | {auc['value']:.3f} ({auc['lower']:.3f} to {auc['upper']:.3f}) | "
            f"{'' if best is None else format(best['value'], '.3f')} | {_share(figures, 'share_of_oracle')} | "
            f"{_share(figures, 'expected_share_of_oracle')} | {figures['calibration_slope']['value']:.2f} | "
            f"{', '.join(one['label'] for one in models[name]['predictors'])} |"
        )
    figures = models["integrated"]["performance"]
    lines.append(
        f"\nSimulated test patients: {figures['test_n']}, {figures['test_events']} of whom expand. Integrated against "
        f"clinical: p = {figures['against_clinical_p']:.2g} (DeLong)."
    )
    return "\n".join(lines)


def _share(figures: Mapping[str, Any], name: str) -> str:
    return "" if figures.get(name) is None else str(figures[name])
