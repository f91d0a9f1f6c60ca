"""The three models of expansion fitted anew to a table of results, at the default definition and at another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ICHExpansionLib.definition import DEFAULT_DEFINITION, Definition
from ICHExpansionLib.endpoints import STUDY
from ICHExpansionLib.labels import CLASSES
from ICHExpansionLib.measuring.outlook import expansion_rows, summary
from ICHExpansionLib.outcomes import NAMES, cohort_of_rows, model_at, predictors_of_row
from ICHExpansionLib.pipeline import ICHPipeline
from ICHExpansionLib.segmenting.network import CHANNELS
from ICHExpansionLib.simulation.causes import draw_clinical
from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.cohort import write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.findings import SIMULATED
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.validation.refit_bundle import refit_bundle

ICH = SYSTEMS["ich"]


def rows_of(count: int = 420, seed: int = 8) -> list[dict]:
    """A batch's table with outcomes; the DL score and the hours since onset drive the growth."""
    rng, rows = np.random.default_rng(seed), []
    for n in range(count):
        volume = float(np.clip(rng.lognormal(2.6, 0.8), 1, 90))
        clinical = draw_clinical(volume, "putamen", False, rng)
        score = float(rng.random())
        pull = 4 * (score - 0.5) - 0.8 * np.log(clinical["onset_to_ct"] / 4) + (clinical["anticoagulant"] != "none")
        grows = rng.random() < 1 / (1 + np.exp(0.7 - pull))
        growth = float(rng.uniform(7, 25) if grows else rng.normal(0, 0.05 * volume))
        rows.append(
            {
                "case": f"c{n}",
                "patient": f"p{n}",
                "dl_score": round(score, 4),
                "hematoma_volume": round(volume, 2),
                "growth_ml": round(growth, 3),
                "expansion": int(DEFAULT_DEFINITION.met(volume, volume + growth)),
                **clinical,
            }
        )
    return rows


@pytest.fixture(scope="module")
def refitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ich")
    results = write_rows(folder / "results.csv", rows_of())
    return refit_bundle(ICH, results, folder / "bundle", repeats=2)[0]


def test_the_pipeline_opens_the_bundle_and_no_longer_says_simulated(refitted):
    pipeline = ICHPipeline(refitted)
    bundle = Bundle.load(refitted, "ich", CHANNELS, len(CLASSES))
    models = {name: bundle.json(name) for name in (*NAMES, "cohort")}
    assert bundle.is_part_simulated("risk") is False
    for name in NAMES:
        assert models[name]["n"] == 420
        assert models[name]["cohort"]["simulated"] is False
    clinical = {"age": 70, "onset_to_ct": 1.0, "anticoagulant": "warfarin", "sex": "male"}
    rows = expansion_rows(None, 20.0, 0.0, clinical, DEFAULT_DEFINITION, pipeline.attention, models)
    told = {row.key: row for row in rows}
    assert 0 < told["clinical_expansion"].value < 100
    assert SIMULATED not in told["clinical_expansion"].note
    assert "patients" in told["clinical_expansion"].note
    assert "simulated" not in told["clinical_expansion"].note
    assert not told["image_expansion"].simulated
    assert told["dl_score"].simulated  # the attention is still that of the bundle
    assert SIMULATED not in summary(rows, ())


def test_the_score_that_drove_the_growth_drives_the_model(refitted):
    models = {name: Bundle.load(refitted, "ich", CHANNELS, len(CLASSES)).json(name) for name in (*NAMES, "cohort")}
    low, high = (model_at("image", models, DEFAULT_DEFINITION).predict({"dl_score": s})[0] for s in (0.1, 0.9))
    assert high > low + 0.3
    other = model_at("image", models, Definition(12.5, None, ">"))
    grown = np.array(models["cohort"]["columns"]["growth_ml"])
    assert other.events == int((grown > 12.5).sum())
    assert other.predict({"dl_score": 0.9})[0] < high


def test_other_definitions_need_the_growth():
    rows = [{k: v for k, v in row.items() if k != "growth_ml"} for row in rows_of(20)]
    models = {"integrated": {"predictors": [{"name": "dl_score"}], "cohort": {"simulated": False, "name": "own"}}}
    with pytest.raises(InputError, match="need the columns hematoma_volume and growth_ml"):
        cohort_of_rows(rows, models)
    measured = [{**row, "growth": 3.0} for row in rows]  # of a batch with follow-ups
    columns = cohort_of_rows(measured, models)["cohort"]["columns"]
    assert columns["growth_ml"] == [3.0] * 20
    assert set(columns) == {"baseline_ml", "growth_ml", "dl_score"}


def test_predictors_of_a_row_leave_out_what_is_not_known():
    assert predictors_of_row({"dl_score": "", "age": None}) == {}
    assert predictors_of_row({"dl_score": "0.25", "age": 71.0, "anticoagulant": "none"}) == {
        "dl_score": 0.25,
        "age": 71.0,
        "anticoagulant": 0.0,
    }


def test_the_three_models_are_side_by_side():
    labels = [score.label for score in STUDY.endpoint("expansion").scores[:3]]
    assert labels == ["Integrated-to-HE", "Image-to-HE", "Clinical-to-HE"]
