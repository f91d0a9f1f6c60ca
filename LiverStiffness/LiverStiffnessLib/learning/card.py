"""The model card of a LiverStiffness bundle, written from its metadata and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PrognosisLib.learning.stopping import stopping_lines

from ..labels import THRESHOLDS_KPA

DATA_LICENSE = """Training images of the network

CHAOS, "Combined (CT-MR) Healthy Abdominal Organ Segmentation" (Kavur et al., Med Image Anal 2021;69:101950; Zenodo,
doi 10.5281/zenodo.3431873), T2-weighted SPIR images of the abdomen with outlines of liver, kidneys and spleen: Creative
Commons Attribution-ShareAlike 4.0. No image of the set, and none computed from it, is part of this bundle: only network
weights trained on them.

Simulated examinations, their signs and their stiffness: made by this project, Apache-2.0, no real person behind them.
"""

CARD = """# LiverStiffness: model card

Research and teaching, not for clinical use.

## What it does
One multi-task network reads T2- and T1-weighted MR images of the abdomen slice by slice (with both neighbors): it
segments liver, spleen and ascites, tells which sequence a slice is from, and gives features of the liver in each slice.
Attention weighs the slices of each sequence; pooled features and the volumes of spleen, liver and ascites add up to one
score, and five rising offsets turn it into the probabilities of a stiffness by MR elastography of at least 2.5, 3.0,
3.5, 4.0 and 5.0 kPa, which fall with the threshold by construction. There is one such reading for T2 and T1 together
and one for each alone. Idea: DeepLiverNet 2.0, Eur Radiol 2025, doi 10.1007/s00330-024-11312-3 (none of its code).

Published, other data: AUROC at 3 kPa 0.83 (0.82-0.84) in ten-fold cross-validation, 0.82 (0.80-0.84) after a temporal
split and 0.79 (0.75-0.81) with a site left out; 4,695 examinations of 4,295 patients.

## Network
2D U-Net with a strided stem, additive skips and batch normalization, feature widths {widths}, trained end to end.
Input: slices of the image itself (thin ones averaged to slabs of at most {slab_mm:g} mm) on pixels of {pixel_mm:g} mm,
in standard deviations from the body's mean. Output: logits of background, liver, spleen and ascites, three sequence
logits (T2, T1, other), 48 features and their map. The score is linear in the features: that makes the heat map exact.
A small network trained end to end was chosen over a frozen pretrained one, since none can be had without its license's
and its images' terms, and since features of natural images at 224 pixels do not know of millimeters.

## Training data
{training}

## Masks on images that training never saw
{masks}

## Interval of the volumes
{interval}

## Stiffness: {cohort}
{assumptions}

{readings}

### The three protocols of the paper
The network stays as it is, and the reading is fitted anew in each fold. {protocol_note}

{protocols}

## Known weaknesses
- Real training images are fat-suppressed T2 of {real_n} patients of one collection, all with healthy livers; every T1,
  every other kind of T2, and every cirrhotic liver and ascites that the network learned from is simulated.
- What the readings know of stiffness is what the causal model says; they know nothing of real patients.
- Thin layers of ascites are mostly missed, as the Dice above shows; the volume is a rough estimate.
- On real anatomies the scores are higher than on procedural ones, so that too many livers are called stiff there: see
  the specificity in that table.
- The readings use about four fifths of what the signs could tell (expected share): fine nodules and septa are poorly
  seen on pixels of 2 mm.
- No other backbone was tried; this one was chosen for its size and for the masks that it shares its features with.
- Contrast medium, motion other than ghosts, operated livers and large tumors were not in the data.

## Reproduce
    {command}

Seed {seed}; steps: {steps}. Versions: {versions}.
"""

SIMULATED_NOTE = """No public data has MR images with a stiffness. Stiffness and its signs were simulated from a
documented causal model (LiverStiffnessLib/simulation/causes.py: nodular surface, caudate and left lobe over right
lobe, septal texture, T2, spleen volume, ascites; not driven: fat, iron, age, vendor, field, coil shading, noise).
The readings are fitted to what an examination's signs make of the outcome. Every number that comes from them says
"simulated cohort". The oracle knows all signs without noise, and the population, but neither site nor year: the best
that any reader of these images could do. The expected share is over all stiffnesses that the test patients may have,
not the one that was drawn."""
MEASURED_NOTE = "The readings were fitted to measured stiffness of the cohort's own patients."


def make_card(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown; `facts` is the bundle's metadata, `rows` the real cases kept out, see collecting.py."""
    training, measured = facts["training"], facts["measured"]
    is_simulated = training["cohort"]["simulated"]["risk"]
    return CARD.format(
        widths=", ".join(str(n) for n in facts["network"]["widths"]),
        slab_mm=facts["network"]["slab_mm"],
        pixel_mm=facts["network"]["pixel_mm"],
        training=_training(training),
        masks=_masks(measured["masks"], rows),
        interval=_interval(facts["interval"]),
        cohort="simulated cohort" if is_simulated else "own cohort",
        assumptions=SIMULATED_NOTE if is_simulated else MEASURED_NOTE,
        readings=_readings(measured),
        protocol_note=_protocol_note(training, measured),
        protocols=_protocols(measured["protocols"]),
        real_n=len(training["training"]),
        command=training["command"],
        seed=training["seed"],
        steps=training["steps"],
        versions=", ".join(f"{name} {version}" for name, version in training["versions"].items()),
    )


def _training(training: Mapping[str, Any]) -> str:
    lines = [
        f"{training['training_simulated']} simulated examinations on procedural anatomies, "
        f"{training['training_on_real']} on the real ones below."
    ]
    if training["training"]:
        lines.insert(0, f"{len(training['training'])} real T2 images: {', '.join(training['training'])}.")
    if training["validation"]:
        lines.append(f"Held out, split by patient: {', '.join(training['validation'])}.")
    lines += stopping_lines(training)
    if training.get("note"):
        lines.append(training["note"])
    return "\n\n".join(lines)


def _masks(masks: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    titles = {
        "real": "Real images",
        "on_real": "Simulated examinations on the real anatomies kept out (T2 and T1)",
        "simulated": "Simulated examinations on procedural anatomies (T2 and T1)",
    }
    parts = [_case_table(rows)] if rows else ["No real image was held out."]
    for key, title in titles.items():
        if key in masks:
            parts.append(f"### {title}\n" + "\n".join(_mask_lines(masks[key])))
    return "\n\n".join(parts)


def _case_table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| case | liver mL true / found | Dice | spleen mL true / found | Dice |", "|---|---|---|---|---|"]
    for row in rows:
        cells = [f"{row['case']} {row['sequence']}"]
        for name in ("liver", "spleen"):
            cells.append(f"{row[f'{name}_true_ml']:.0f} / {row[f'{name}_ml']:.0f}")
            cells.append(f"{row.get(f'{name}_dice', float('nan')):.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mask_lines(one: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in ("liver", "spleen", "ascites"):
        if name in one:
            found = one[name]
            lines.append(
                f"- {name.capitalize()}, n = {found['n']}: Dice mean {found['dice_mean']:.3f}, median "
                f"{found['dice_median']:.3f}, worst {found['dice_worst']:.3f}; median absolute volume error "
                f"{found['volume_error_percent_median_absolute']:.1f} %."
            )
    lines.append(f"- Sequence told right: {one['sequence_right']}.")
    return lines


def _interval(interval: Mapping[str, Any]) -> str:
    if not interval["n"]:
        return "Not calibrated: too few images were held out."
    return (
        f"From the network: the volumes enclosed at log-odds +{interval['logit']} and -{interval['logit']}. For a mask "
        f"that was drawn or corrected by hand: surface x {interval['boundary_mm']} mm. Both were set on the "
        f"{interval['n']} livers and spleens of the real images kept out, for 95 %; calibrated on the others, the "
        f"interval held the true volume of {interval['covers_when_left_out']}."
    )


def _readings(measured: Mapping[str, Any]) -> str:
    titles = {"both": "T2 and T1", "t2": "T2 alone", "t1": "T1 alone"}
    parts = []
    for name, title in titles.items():
        found = measured["readings"].get(name)
        if found:
            parts.append(f"### {title}\n{_table(found)}\n\n{_stiffness(found['stiffness'])}")
    if measured["on_real_anatomies"]:
        found = measured["on_real_anatomies"]
        parts.append(f"### T2 and T1, on real anatomies kept out\n{_table(found)}\n\n{_stiffness(found['stiffness'])}")
    return "\n\n".join(parts)


def _stiffness(found: Mapping[str, Any]) -> str:
    return (
        f"Expected stiffness, n = {found['n']}: median absolute error {found['error_percent_median_absolute']:.0f} %; "
        f"the 95 % interval (median ratio of its ends {found['interval_width_ratio_median']:.2f}) held the measured "
        f"one of {found['interval_covers']}. Median standard error of the score {found['score_error_median']:.2f}."
    )


def _table(found: Mapping[str, Any]) -> str:
    lines = [
        "| kPa | n, reached | AUROC (95 %) | oracle | of AUROC - 0.5 | expected share | sensitivity | specificity |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(f"{t:.1f}", found[f"{t:g}"]) for t in THRESHOLDS_KPA if f"{t:g}" in found]
    return "\n".join(lines)


def _row(title: str, one: Mapping[str, Any]) -> str:
    if "auc" not in one:
        return f"| {title} | {one['n']}, {one['positive']} | too few | | | | | |"
    best = "" if "auc_oracle" not in one else format(one["auc_oracle"]["value"], ".3f")
    cells = [title, f"{one['n']}, {one['positive']}", _interval_text(one["auc"]), best]
    shares = [one.get(name) for name in ("share_of_oracle", "expected_share_of_oracle")]
    cells += ["" if share is None else str(share) for share in shares]
    cells += [_interval_text(one[name], 2) for name in ("sensitivity", "specificity")]
    return f"| {' | '.join(cells)} |"


def _interval_text(one: Mapping[str, float], digits: int = 3) -> str:
    return f"{one['value']:.{digits}f} ({one['lower']:.{digits}f} to {one['upper']:.{digits}f})"


def _protocol_note(training: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    one = measured["protocols"].get("10-fold", {}).get("all", {}).get("3", {})
    who = "simulated patients" if training["cohort"]["simulated"]["risk"] else "patients"
    return f"{one.get('n', 0)} {who}, none of whom trained the network."


def _protocols(protocols: Mapping[str, Any]) -> str:
    if not protocols:
        return "Not run: too few patients."
    lines = [
        "| protocol | kPa | patients | n, reached | AUROC (95 %) | oracle | sensitivity | specificity |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, groups in protocols.items():
        for group in ("all", "adults", "children"):
            if group not in groups:
                continue
            for threshold in THRESHOLDS_KPA if group == "all" else (3.0,):
                one = groups[group][f"{threshold:g}"]
                cells = [name, f"{threshold:.1f}", group, f"{one['n']}, {one['positive']}"]
                if "auc" in one:
                    best = "" if "auc_oracle" not in one else format(one["auc_oracle"]["value"], ".3f")
                    cells += [_interval_text(one["auc"]), best]
                    cells += [_interval_text(one[key], 2) for key in ("sensitivity", "specificity")]
                else:
                    cells += ["too few", "", "", ""]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
