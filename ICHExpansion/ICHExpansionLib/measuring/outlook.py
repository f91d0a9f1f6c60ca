"""The probability of expansion from three models side by side, and the summary line.

Where the models were fitted on a simulated cohort, as those that ship were, every row that comes from them says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PrognosisLib.errors import InputError
from PrognosisLib.findings import SIMULATED, Findings, Flag, Interval, Mask, Measurement
from PrognosisLib.risk import LogisticModel
from PrognosisLib.slicewise.evidence import SliceEvidence, slab_areas
from PrognosisLib.wording import result_text

from ..definition import Definition
from ..outcomes import DL_SCORE, clinical_predictors, known, model_at
from ..segmenting.attention import AttentionModel, Pooled

GROUP = "Risk of expansion"
TITLES = {
    "image": "Image-to-HE: probability of expansion",
    "clinical": "Clinical-to-HE: probability of expansion",
    "integrated": "Integrated-to-HE: probability of expansion",
}
# The paper's figures: 21 of about 107 test patients expanded (our inference from its percentages).
PUBLISHED = {"image": 0.76, "clinical": 0.81, "integrated": 0.83}
NO_SCORE = "needs the network's features; run the segmentation with Apply"
NO_HEMATOMA = "no hematoma was found, so there is no DL score"


def expansion_rows(
    hematoma: Mask | None,
    volume_ml: float,
    ventricular_ml: float,
    clinical: Mapping[str, Any],
    definition: Definition,
    attention: AttentionModel,
    models: Mapping[str, Mapping[str, Any]],
) -> list[Measurement]:
    """DL score and the three models' probabilities; a model that cannot run says what it lacks."""
    pooled = None if hematoma is None else dl_score(hematoma, volume_ml, ventricular_ml, attention)
    rows = [_score_row(pooled, hematoma)]
    values = clinical_predictors(clinical)
    if pooled is not None:
        values[DL_SCORE.name] = pooled.score
    for name, title in TITLES.items():
        rows.append(_model_row(name, title, values, definition, models, hematoma is not None))
    return rows


def dl_score(hematoma: Mask, volume_ml: float, ventricular_ml: float, attention: AttentionModel) -> Pooled | None:
    """The patient's score from the network's slice features and the mask as it is now; None without features."""
    evidence = SliceEvidence.from_json(hematoma.evidence)
    if evidence is None or evidence.features.shape[1] != attention.gates.shape[1]:
        return None
    areas = slab_areas(hematoma.array, hematoma.start, hematoma.grid.ijk_to_ras, evidence)
    if not areas.any():
        return None
    return attention.pool(evidence.features, areas, volume_ml, ventricular_ml)


def _score_row(pooled: Pooled | None, hematoma: Mask | None) -> Measurement:
    method = (
        "slice features of the network, pooled by attention with the volumes; normalized to 0..1 between the 1st and "
        "99th percentile of the training patients"
    )
    if pooled is None:
        note = NO_HEMATOMA if hematoma is None else NO_SCORE
        return Measurement("dl_score", "DL score", None, method=method, note=note, group=GROUP, simulated=True)
    return Measurement(
        "dl_score",
        "DL score",
        pooled.score,
        method=method,
        note="see the heat map for what drove it; its uncertainty is in the models' intervals",
        group=GROUP,
        simulated=True,
    )


def _model_row(
    name: str,
    title: str,
    values: Mapping[str, float],
    definition: Definition,
    models: Mapping[str, Mapping[str, Any]],
    has_hematoma: bool,
) -> Measurement:
    published = f"published AUC {PUBLISHED[name]:.2f} in about 107 test patients (published, other data)"
    method = f"logistic model of growth {definition} until the follow-up, within about 24 h; {published}"
    key = f"{name}_expansion"
    needs_score, simulated = name != "clinical", bool(models[name]["cohort"]["simulated"])
    if needs_score and DL_SCORE.name not in values:
        lacks = NO_SCORE if has_hematoma else NO_HEMATOMA
        return Measurement(key, title, None, "%", method=method, note=lacks, group=GROUP, simulated=simulated)
    try:
        model = model_at(name, models, definition)
        used = known(values, model)
        if name == "integrated" and len(used) == 1:
            raise InputError(_lacks_clinical(model))
        chance, lower, upper = model.predict(used)
    except InputError as error:
        return Measurement(key, title, None, "%", method=method, note=str(error), group=GROUP, simulated=simulated)
    ends = Interval(100.0 * lower, 100.0 * upper)
    note = _figures(model) + model.note(used)
    return Measurement(key, title, 100.0 * chance, "%", ends, method, note, GROUP, simulated=model.simulated)


def _lacks_clinical(model: LogisticModel) -> str:
    labels = ", ".join(one.label for one in model.predictors if one.name != DL_SCORE.name)
    return f"needs at least one of: {labels}"


def _figures(model: LogisticModel) -> str:
    """AUC on the test patients, where the model is the stored one."""
    figure = model.performance.get("auc")
    if not figure:
        return "refitted to this definition; "
    oracle = model.performance.get("auc_oracle", {}).get("value")
    best = f", best possible {oracle:.2f}" if oracle else ""
    who = "simulated patients" if model.simulated else "patients"
    return f"AUC {figure['value']:.2f}{best} in {model.performance['test_n']} {who}; "


def summary(rows: Sequence[Measurement], flags: Sequence[Flag]) -> str:
    """One or two sentences: volume, side, and the most complete model's probability; growth where it is known."""
    found = Findings("ich", (), tuple(rows))
    size = found.measurement("hematoma_volume")
    if size is None:
        text = "No hematoma was found."
    else:
        text = f"Hematoma of {result_text(size)}, {found.value('side')}, {found.value('region')} (estimate)."
    for name in ("integrated", "image", "clinical"):
        row = found.measurement(f"{name}_expansion")
        if row is not None and row.value is not None:
            label = f"; {SIMULATED}" if row.simulated else ""
            text += f" Probability of expansion ({name} model): {result_text(row)}{label}."
            break
    growth = found.measurement("growth")
    if growth is not None and found.value("expansion") is not None:
        text += f" Growth until the follow-up: {result_text(growth)}; expansion: {found.value('expansion')}."
    if any(one.severity != "info" for one in flags):
        text += " See the flags."
    return text
