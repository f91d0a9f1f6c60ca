"""What a cine measures: probability of significant fibrosis, stages, capsule and scores; for whoever drew the mask.

`measure_cine` is the whole second half of the pipeline: it runs no network and is run again after every edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from PrognosisLib.findings import Findings, Interval, Mask, Measurement
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.scores import SIGNIFICANT_FIBROSIS_SCORES, score_rows
from PrognosisLib.scores.stiffness import measured_rows
from PrognosisLib.wording import result_text

from ..labels import MODELS, PRODUCT, STAGES
from ..settings import FibrosisSettings
from .curves import cine_curves
from .evidence import CineEvidence
from .flags import cine_flags
from .reading import Reading, readings_of
from .readout import FibrosisReadout
from .view_rows import capsule_rows, liver_rows

FIBROSIS, RIVALS = "Significant fibrosis by ultrasound cine", "The same by other networks"
NO_LIVER = "no liver was found"
NO_EVIDENCE = "needs what the networks saw; run the segmentation with Apply"
NO_WINDOW = "no part of the cine was usable"
# doi 10.12464/j.issn.0253-9802.2026-0255, whose 17 test patients also gave an accuracy of 76.47 %.
PUBLISHED_AUC = {"3d": 0.847, "lstm": 0.761, "2d": 0.753}
PUBLISHED_N = 17
CHANCE = "significant_fibrosis"


def measure_cine(
    mask: Mask | None, clinical: Mapping[str, Any], readout: FibrosisReadout, settings: FibrosisSettings, cine: Cine
) -> Findings:
    """All rows, flags, curves and the summary that the liver's mask and the clinical values allow.

    Args:
        mask: of the liver, (t, j, i), with the networks' evidence; None or empty where there is none.
        clinical: checked clinical values.
        cine: the film, for its times and the size of its pixels; no frame is read.
    """
    mask = None if mask is None or mask.is_empty else mask
    evidence = None if mask is None else CineEvidence.from_text(mask.evidence)
    if evidence is not None and evidence.frames != len(cine):
        evidence = None  # of another film
    readings = {} if evidence is None else readings_of(evidence, readout)
    why = NO_LIVER if mask is None else NO_EVIDENCE if evidence is None else NO_WINDOW
    rows = fibrosis_rows(readings, readout, settings, why)
    if evidence is not None:
        rows.append(usable_row(evidence))
        rows += capsule_rows(mask, evidence, cine, settings, readout.simulated)
    if mask is not None:
        rows += liver_rows(mask, evidence, cine)
    rows += measured_rows(clinical, settings.swe_f2_kpa, settings.swe_f3_kpa)
    rows += score_rows(clinical, SIGNIFICANT_FIBROSIS_SCORES)
    flags = cine_flags(mask, evidence, readings, decision_of(readout, settings))
    curves = () if evidence is None else cine_curves(evidence, readout, cine)
    found = Findings("fibrosis", measurements=tuple(rows), flags=tuple(flags), curves=curves)
    return Findings("fibrosis", (), found.measurements, found.flags, curves, summary=summary(found))


def decision_of(readout: FibrosisReadout, settings: FibrosisSettings) -> float:
    """Probability from which on the answer is yes, 0..1."""
    return readout.decision if settings.decision_percent is None else settings.decision_percent / 100.0


def fibrosis_rows(
    readings: Mapping[str, Reading], readout: FibrosisReadout, settings: FibrosisSettings, why: str
) -> list[Measurement]:
    """The product's probability, answer and stages, then its rivals; `why` there are none where there are none."""
    product = readings.get(PRODUCT)
    rows = [_chance_row(PRODUCT, product, readout, why), _answer_row(product, readout, settings, why)]
    rows += _stage_rows(product, readout, why)
    rows += [_chance_row(key, readings.get(key), readout, why) for key in MODELS if key != PRODUCT]
    return rows


def _chance_row(key: str, reading: Reading | None, readout: FibrosisReadout, why: str) -> Measurement:
    """Probability of F2 or higher by one network."""
    is_product = key == PRODUCT
    published = f"published AUC {PUBLISHED_AUC[key]:.3f} in {PUBLISHED_N} test patients (published, other data)"
    method = f"{MODELS[key]} with ordinal output over windows of the cine; {published}"
    return Measurement(
        CHANCE if is_product else f"{CHANCE}_{key}",
        "Probability of F2 or higher" + ("" if is_product else f", {MODELS[key]}"),
        None if reading is None else 100.0 * reading.chance,
        "%",
        None if reading is None else _percent(reading.chance_interval),
        method
        if reading is None
        else f"{method}; 95 % interval from its {reading.windows} windows and from other cines of the same patients",
        why if reading is None else _figures(readout, key),
        FIBROSIS if is_product else RIVALS,
        simulated=readout.simulated,
    )


def _figures(readout: FibrosisReadout, key: str) -> str:
    figure = readout.figures.get(key, {})
    if "auc" not in figure:
        return ""
    best = f", best possible {figure['auc_oracle']:.2f}" if "auc_oracle" in figure else ""
    return f"AUC {_with_ends(figure['auc'])}{best} in {figure['n']} {_who(readout)}"


def _who(readout: FibrosisReadout) -> str:
    return "simulated patients" if readout.simulated else "patients"


def _with_ends(figure: Mapping[str, float], percent: bool = False) -> str:
    """ "0.85 (0.81 to 0.89)" or "85 % (81 to 89)" """
    parts = (figure[name] for name in ("value", "lower", "upper"))
    value, lower, upper = (f"{100 * part:.0f}" if percent else f"{part:.2f}" for part in parts)
    return f"{value}{' %' if percent else ''} ({lower} to {upper})"


def _answer_row(reading: Reading | None, readout: FibrosisReadout, settings: FibrosisSettings, why: str) -> Measurement:
    """Whether the product's probability reaches the limit, with what that meant on the test patients."""
    limit, figure = decision_of(readout, settings), readout.figures.get(PRODUCT, {})
    is_own = settings.decision_percent is None
    names = [name for name in ("sensitivity", "specificity") if is_own and name in figure]
    parts = [f"{name} {_with_ends(figure[name], percent=True)}" for name in names]
    note = f"{', '.join(parts)} in {figure['n']} {_who(readout)}" if parts else ""
    source = "chosen on the patients that the model was fitted to" if is_own else "chosen by the user"
    return Measurement(
        "is_significant",
        "Significant fibrosis (F2 or higher)",
        None if reading is None else "yes" if reading.chance >= limit else "no",
        method=f"probability of at least {100 * limit:.0f} %, {source}; published accuracy 76.47 % in {PUBLISHED_N} "
        "test patients (published, other data)",
        note=why if reading is None else note,
        group=FIBROSIS,
        simulated=readout.simulated,
    )


def _stage_rows(reading: Reading | None, readout: FibrosisReadout, why: str) -> list[Measurement]:
    """The most probable stage, and the probability of each."""
    method = "the same network's ordinal output; the five sum to 100 %"
    likely = Measurement(
        "likely_stage",
        "Most probable stage",
        None if reading is None else STAGES[int(np.argmax(reading.stages))],
        method=method,
        note=why if reading is None else "the stage with the largest probability; see its neighbors",
        group=FIBROSIS,
        simulated=readout.simulated,
    )
    each = [
        Measurement(
            f"stage_{stage.lower()}",
            f"Probability of stage {stage}",
            None if reading is None else 100.0 * float(reading.stages[number]),
            "%",
            None if reading is None else _percent(reading.stage_intervals[number]),
            f"{method}; range over the interval of the score",
            why if reading is None else "",
            FIBROSIS,
            simulated=readout.simulated,
        )
        for number, stage in enumerate(STAGES)
    ]
    return [likely, *each]


def _percent(interval: Interval) -> Interval:
    return Interval(100.0 * interval.lower, 100.0 * interval.upper)


def usable_row(evidence: CineEvidence) -> Measurement:
    """How many frames the networks could use; the flags say why not all."""
    count = evidence.frames - len(evidence.unusable)
    return Measurement(
        "usable_frames",
        "Usable frames",
        count,
        "frames",
        method="frames left by the checks of each frame",
        note=f"of {evidence.frames}" + ("" if count == evidence.frames else "; the flags say why not all"),
        group=FIBROSIS,
    )


def summary(found: Findings) -> str:
    """One or two sentences: the probability, the most probable stage, and whether there are flags."""
    chance = found.measurement(CHANCE)
    if chance is None or chance.value is None:
        text = "The stage of fibrosis could not be read" + (f": {chance.note.split('; ', 1)[-1]}." if chance else ".")
    else:
        label = "; simulated cohort" if chance.simulated else ""
        text = (
            f"Probability of significant fibrosis (F2 or higher) {result_text(chance)}; most probable stage "
            f"{found.value('likely_stage')}{label}."
        )
    if any(one.severity != "info" for one in found.flags):
        text += " See the flags."
    return text
