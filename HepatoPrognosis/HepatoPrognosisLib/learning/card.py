"""The model card of a HepatoPrognosis bundle, written from its metadata and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PrognosisLib.learning.stopping import stopping_lines
from PrognosisLib.scores import ACLF_SCORES, LIVER_SCORES

from ..labels import GROUPS, HORIZON_DAYS, MODELS
from ..measuring.outlook import PUBLISHED, PUBLISHED_N

DATA_LICENSE = """Training images of the network

Simulated images, their signs, clinical values and outcomes: made by this project, Apache-2.0, no real person behind
them. No real image and no real outcome trained anything in this bundle.
"""
OWN_DATA_LICENSE = """Training images of the network

Simulated images: made by this project, Apache-2.0, no real person behind them. Images and outcomes of the cohort that
the user gave; its terms are the user's to state here.
"""
VARIANT_TITLES = {**MODELS, "siamese_t0": "Siamese U-Net, T0 alone", "combined_t0": "Combined model, T0 alone"}
KIND_TITLES = {
    "view": "simulated views beside the liver",
    "box": "other tissue, enlarged",
    "noise": "noise",
    "upside down": "liver upside down",
}

CARD = """# HepatoPrognosis: model card

Research and teaching, not for clinical use.

## What it does
One network, with the same weights for both, reads the ultrasound images of admission (T0) and of day 5 (T1) of a
patient with acute-on-chronic liver failure by hepatitis B: it draws the liver, tells whether one is in view, and gives
{features} features that are pooled over the liver. A head reads log hazards from them: one of T0 alone, and one of T0
and of the difference to T1. Three Cox models predict {days:g}-day mortality: a clinical one, one of the readings, and
one of both. Idea: doi 10.1080/07853890.2025.2551819.

Published, other data, {published_n} patients of the validation set: {published}; Dice 0.912 (T0) and 0.913 (T1).

## Network
U-Net on images of {pixel_mm:g} mm pixels with the probe's face at one place; widths {widths}. What a feature is at a
place adds up to the feature, so that the heat maps of a linear head add up to its reading exactly.

## Training data
{training}

## Liver on images that training never saw
{liver}

## Head
{head}

## Mortality: {cohort}
{assumptions}

{test}

## What was fitted to whom
{fitted}

## Known weaknesses
- What this bundle knows of risk is what the causal model says; it knows nothing of real patients.
- Simulated anatomies are coarse beside real ones: no bowel wall, no focal lesions, few vessels; one standard plane.
- Echogenicity depends on gain and scanner; the network has learned some of that, on simulated scanners only.
- The readings' spread comes from changed copies of images, not from images that were taken twice.
- Patients who die or are transplanted before day 5 are in no model.

## Reproduce
    {command}

Seed {seed}; {steps} steps. Versions: {versions}.
"""

SIMULATED_NOTE = """No public data has such pairs of images with outcomes. Images, clinical values and outcomes are
those of a simulated cohort from a documented causal model (HepatoPrognosisLib/simulation/causes.py); its effect sizes
are assumptions. Every number below is of the simulated cohort. Best possible: the same figure of the causal model's own
optimum, which knows the signs in the images, or the clinical values, or both, without noise."""
MEASURED_NOTE = "Head and Cox models were fitted to the user's own patients and their outcomes."


def make_card(facts: Mapping[str, Any]) -> str:
    """Markdown; `facts` is the bundle's metadata."""
    training, measured, network = facts["training"], facts["measured"], facts["network"]
    is_simulated = training["cohort"]["simulated"]["risk"]
    return CARD.format(
        features=network["features"],
        days=HORIZON_DAYS,
        published_n=PUBLISHED_N,
        published="; ".join(f"{MODELS[name]} {text}" for name, text in PUBLISHED.items()),
        pixel_mm=network["pixel_mm"],
        widths=", ".join(str(width) for width in network["widths"]),
        training=_training(training),
        liver=_liver(measured),
        head=_head(measured["head"]),
        cohort="simulated cohort" if is_simulated else "own cohort",
        assumptions=SIMULATED_NOTE if is_simulated else MEASURED_NOTE,
        test=_test(measured["test"]),
        fitted=_fitted(training, measured),
        command=training["command"],
        seed=training["seed"],
        steps=training["steps"],
        versions=", ".join(f"{name} {version}" for name, version in training["versions"].items()),
    )


def _training(training: Mapping[str, Any]) -> str:
    lines = [
        f"Pairs of images of {training['simulated']} simulated patients, and odd views of {training['views']} others. "
        "The network learned outlines, signs and their change"
        + (
            ", and the log hazards that the causal model's own optimum gives to these signs, which teach the same as "
            "the outcomes with less noise."
            if not training["own_outcomes"]
            else "."
        )
    ]
    if training["cohort_pairs"]:
        lines.append(
            f"Own cohort: {training['cohort_pairs']} pairs, {training['outlined']} of their images with an outline. "
            f"Outcomes of {training['own_outcomes']} of them taught the network (Cox's partial likelihood)."
        )
    lines += stopping_lines(training)
    if training.get("note"):
        lines.append(training["note"])
    return "\n\n".join(lines)


def _liver(measured: Mapping[str, Any]) -> str:
    found, lines = measured["liver"], []
    for role in ("t0", "t1"):
        if role in found:
            one = found[role]
            lines.append(
                f"- {role.upper()}, n = {one['n']} test images: Dice mean {one['mean']:.3f} ({one['lower']:.3f} to "
                f"{one['upper']:.3f}), median {one['median']:.3f}, worst {one['worst']:.3f}."
            )
    if "seen" in found:
        lines.append(f"- A liver was seen in {_share(found['seen'])} of {found['seen']['n']} test images.")
    lines += [
        f"- No liver was seen in {_share(one)} of {one['n']} images without any: {KIND_TITLES[kind]}."
        for kind, one in measured.get("empty", {}).items()
    ]
    real = measured.get("liver_real")
    if real:
        lines.append(
            f"- Real B-mode images with an outline, n = {real['n']}: Dice mean {real['mean']:.3f} "
            f"({real['lower']:.3f} to {real['upper']:.3f}), median {real['median']:.3f}, worst {real['worst']:.3f}. "
            "How frames are varied in training was chosen with an eye on these images; others may be worse."
        )
    return "\n".join(lines) or "Not measured."


def _share(one: Mapping[str, float]) -> str:
    return f"{100 * one['value']:.1f} % ({100 * one['lower']:.1f} to {100 * one['upper']:.1f} %)"


def _head(head: Mapping[str, Any]) -> str:
    parts = []
    for name, title in (("t0", "T0 alone"), ("pair", "both images")):
        one = head[name]
        told = ""
        if "r2" in one:
            told = f"; out of fold it explains {100 * one['r2']:.0f} % of the variance of the optimum's log hazard"
        parts.append(f"- {title}: ridge {one['ridge']:g}{told}.")
    layer = (
        f"A hidden layer of {head['hidden']} units was better in cross-validation."
        if head["hidden"]
        else "A hidden layer was not better in cross-validation, so there is none."
    )
    spread = f"Standard deviation between copies of one image: {head['spread_t0']:.2f} (T0), {head['spread_pair']:.2f}."
    return "\n".join([*parts, f"\n{layer} {spread}"])


# --- mortality --------------------------------------------------------------------------------------------------------


def _test(test: Mapping[str, Any]) -> str:
    if not test:
        return "Not measured: too few test patients."
    cohort = test["cohort"]
    parts = [
        f"{cohort['n']} test patients, untouched: {cohort['deaths']} died, {cohort['deaths_30']} of them within "
        f"{HORIZON_DAYS:g} days; {cohort['transplanted']} were transplanted (censored). AUC and calibration slope are "
        f"of the {cohort['known_30']} whose state on day {HORIZON_DAYS:g} is known.",
        _models(test["models"]),
        "Share: of what the optimum has over 0.5. Differences on the same patients (bootstrap, DeLong):",
        _comparisons(test["comparisons"]),
        "Risk groups, whose limits are those of the patients that the models were fitted to:",
        _groups(test["models"]),
        "Scores of the field on the same patients:",
        _scores(test["scores"]),
    ]
    return "\n\n".join(parts)


def _models(models: Mapping[str, Any]) -> str:
    lines = [
        "| | C-index (95 %) | best possible | share | AUC, 30 days (95 %) | best possible | share | slope | Brier |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in models.items():
        cells = [VARIANT_TITLES[name]]
        for key in ("c_index", "auc_30"):
            best, share = one.get(f"{key}_oracle"), one.get(f"{key}_share_of_oracle")
            told = ["", ""] if best is None else [f"{best['value']:.3f}", f"{100 * share:.0f} %"]
            cells += [_ends(one[key]), *told]
        cells += [_ends(one["calibration_slope"]), f"{one['brier_30']:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _comparisons(tests: Mapping[str, Any]) -> str:
    lines = ["| | C-index (95 %) | p | AUC (95 %) | p |", "|---|---|---|---|---|"]
    for name, one in tests.items():
        cells = [name]
        for key in ("c_index", "auc_30"):
            cells += [_ends({**one[key], "value": one[key]["difference"]}), f"{one[key]['p']:.3g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _groups(models: Mapping[str, Any]) -> str:
    lines = ["| | " + " | ".join(f"{group}: n, 30-day mortality" for group in GROUPS) + " | log-rank p |"]
    lines.append("|---" * (len(GROUPS) + 2) + "|")
    for name in MODELS:
        groups = models[name]["risk_groups"]
        cells = [VARIANT_TITLES[name]]
        for group in GROUPS:
            one = groups[group]
            risk = one.get("mortality_30")
            cells.append(f"{one['n']}" + (f", {100 * risk['value']:.0f} %" if risk else ""))
        cells.append(f"{groups['log_rank']['p']:.2g}" if "log_rank" in groups else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _scores(scores: Mapping[str, Any]) -> str:
    labels = {score.key: score.label for score in (*LIVER_SCORES, *ACLF_SCORES)}
    lines = ["| | n | C-index (95 %) | AUC, 30 days (95 %) |", "|---|---|---|---|"]
    for key, one in scores.items():
        lines.append(f"| {labels[key]} | {one['n']} | {_ends(one['c_index'])} | {_ends(one['auc_30'])} |")
    return "\n".join(lines)


def _ends(one: Mapping[str, float]) -> str:
    return f"{one['value']:.3f} ({one['lower']:.3f} to {one['upper']:.3f})"


def _fitted(training: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    who = "patients of the cohort" if training["cohort_pairs"] else "simulated patients"
    return f"""- Network: see training data; it never saw the outcomes of the patients below.
- Head and Cox models: {training["risk_patients"]} other {who}, {measured["deaths"]} of whom died. The head was fitted
  to all of them; the Cox models to readings of heads that were fitted without the patient, in
  {measured["head"]["folds"]} folds.
- Not cross-fitted: the ridge, the standardization of the features, the selection of clinical predictors, and the limits
  of the risk groups. These were chosen on the same patients that the models were fitted to.
- Tests: {training["tests"]} patients, who had no part in any of this."""
