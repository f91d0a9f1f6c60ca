"""What validation makes of a table: each figure against the statistics it comes from, and what is left out and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from validation_cases import DEATH, EVENT, FAR, MASKS, SIZE, rows_of

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.agreement import bland_altman
from PrognosisLib.evaluation.calibration import calibration, calibration_at
from PrognosisLib.evaluation.discrimination import auc, compare_auc
from PrognosisLib.evaluation.survival import auc_at, c_index, log_rank
from PrognosisLib.evaluation.thresholds import point_figures
from PrognosisLib.findings import SIMULATED
from PrognosisLib.validation import Score, Subgroup
from PrognosisLib.validation.binary import judge_binary
from PrognosisLib.validation.quantity import judge_continuous, judge_quality
from PrognosisLib.validation.section import Run
from PrognosisLib.validation.survival import judge_survival
from PrognosisLib.validation.table import Table
from PrognosisLib.validation.tables import blocks_of, cell

ROWS = rows_of()
TABLE = Table(ROWS)


def column(name: str) -> np.ndarray:
    return TABLE.numbers(name)


def run(**more) -> Run:
    return Run(repeats=30, permutations=100, **more)


def rows(section, figure: str, score: str = "", who: str = "all"):
    return [r for r in section.rows if r.figure == figure and r.who == who and (not score or r.score == score)]


def one(section, figure: str, score: str, who: str = "all"):
    (found,) = rows(section, figure, score, who)
    return found


@pytest.fixture(scope="module")
def event():
    return judge_binary(EVENT, TABLE, run())


@pytest.fixture(scope="module")
def death():
    return judge_survival(DEATH, TABLE, run())


# --- an event ---------------------------------------------------------------------------------------------------------


def test_areas_are_those_of_the_statistics(event):
    y = column("happened")
    assert set(np.unique(y)) == {0, 1}
    found = one(event, "auc", "Model")
    assert (found.value, found.lower, found.upper) == pytest.approx(auc(y, column("chance")))
    assert (found.n, found.events) == (240, int(y.sum()))
    pair = one(event, "auc_difference", "Model − Points")
    expected = compare_auc(y, column("chance"), column("points"))
    assert (pair.value, pair.lower, pair.upper, pair.p) == pytest.approx((*expected[:3], expected.p))


def test_percent_is_a_chance_and_calibrated_as_one(event):
    found = calibration(column("happened"), column("chance") / 100)
    assert one(event, "calibration_slope", "Model").value == pytest.approx(found["slope"].value)
    assert one(event, "observed_to_expected", "Model").value == pytest.approx(1, abs=0.25)
    assert not rows(event, "brier", "Points")


def test_points_set_before_and_chosen_here(event):
    y = column("happened")
    before = one(event, "point", "Other model")
    assert before.value == 0.4
    assert "set before (a paper)" in before.note
    expected = point_figures(y, (column("noisy") >= 0.4).astype(int), repeats=5)
    assert one(event, "sensitivity", "Other model").value == pytest.approx(expected["sensitivity"].value)
    chosen = one(event, "point", "Model")
    assert "too hopeful" in chosen.note
    assert chosen.unit == "%"
    assert chosen.value in column("chance")
    assert one(event, "best_cutoff", "Model").p == pytest.approx(1 / 101)
    assert not rows(event, "best_cutoff", "Other model")


def test_a_score_that_falls_with_the_risk(event):
    turned = Table([{**row, "points": -row["points"]} for row in ROWS])
    endpoint = replace(EVENT, scores=(replace(EVENT.scores[2], falls=True),), subgroups=())
    section = judge_binary(endpoint, turned, run())
    assert one(section, "auc", "Points").value == pytest.approx(one(event, "auc", "Points").value)
    assert one(section, "point", "Points").value == pytest.approx(-one(event, "point", "Points").value)
    for name in ("sensitivity", "specificity"):
        assert one(section, name, "Points").value == pytest.approx(one(event, name, "Points").value)


def test_reclassification_is_of_two_chances_only(event):
    assert rows(event, "net_reclassification", "Model − Other model")
    assert rows(event, "integrated_discrimination", "Model − Other model")[0].value > 0
    assert not rows(event, "net_reclassification", "Model − Points")


def test_subgroups_part_the_patients(event):
    for names in (("Sex: female", "Sex: male"), ("Age: under 50 years", "Age: 50 years and over")):
        assert sum(one(event, "auc", "Model", who).n for who in names) == 240
    young = column("age") < 50
    found = one(event, "auc", "Model", "Age: under 50 years")
    assert found.value == pytest.approx(auc(column("happened")[young], column("chance")[young]).value)
    assert any("smokes" in remark for remark in event.remarks)


def test_what_a_table_lacks_is_remarked_and_judges_nothing(event):
    assert any("Absent score is left out" in remark for remark in event.remarks)
    assert not any("Absent" in row.score or "Best possible" in row.score for row in event.rows)


def test_an_outcome_from_a_number():
    endpoint = replace(EVENT, outcome="true_size", at_least=500.0, scores=(Score("size", "Size", "mL"),), subgroups=())
    section = judge_binary(endpoint, TABLE, run())
    assert one(section, "auc", "Size").events == int((column("true_size") >= 500).sum())
    assert one(section, "auc", "Size").value > 0.95


def test_simulated_cohorts_say_so_and_show_what_is_possible():
    section = judge_binary(EVENT, TABLE, run(simulated_cohort=True))
    assert one(section, "auc", "Best possible").value == pytest.approx(one(section, "auc", "Model").value)
    assert all(SIMULATED in row.note for row in section.rows)
    assert section.drawings
    assert all(SIMULATED in drawing.figure.get_suptitle() for drawing in section.drawings)


def test_a_simulated_models_rows_say_so_beside_others(event):
    section = judge_binary(EVENT, TABLE, run(simulated_columns=frozenset({"chance"})))
    labeled = {row.score for row in section.rows if SIMULATED in row.note}
    assert labeled == {"Model", "Model − Other model", "Model − Points"}
    assert not any(SIMULATED in row.note for row in event.rows)


def test_values_that_are_missing_leave_their_cases_out():
    few = [{**row, "points": ""} if n % 2 else row for n, row in enumerate(ROWS)]
    section = judge_binary(EVENT, Table(few), run())
    assert one(section, "auc", "Points").n == 120
    assert one(section, "auc_difference", "Model − Points").n == 120
    assert one(section, "auc", "Model").n == 240


def test_one_kind_of_outcome_is_not_judged_but_said():
    section = judge_binary(EVENT, Table([{**row, "happened": 0} for row in ROWS]), run())
    assert section.rows == []
    assert any("0 of 240 cases have the event" in remark for remark in section.remarks)


def test_few_cases_are_called_few():
    y = np.zeros(40, int)
    y[:6] = 1
    section = judge_binary(EVENT, Table([{**row, "happened": int(e)} for row, e in zip(ROWS, y, strict=False)]), run())
    assert "only 6 cases of the rarer kind" in one(section, "auc", "Model").note


def test_unusable_values_are_refused_by_case():
    with pytest.raises(InputError, match="Case 'secret-0': happened is '2'; write 1"):
        judge_binary(EVENT, Table([{**ROWS[0], "happened": "2"}, *ROWS[1:]]), run())
    with pytest.raises(InputError, match="Case 'secret-0': points is 'high', which is no number"):
        judge_binary(EVENT, Table([{**ROWS[0], "points": "high"}, *ROWS[1:]]), run())


def test_further_cases_of_a_patient_are_remarked():
    again = Table([{**row, "patient": f"p{n // 2}"} for n, row in enumerate(ROWS)])
    assert any("120 cases are further ones" in remark for remark in judge_binary(EVENT, again, run()).remarks)
    section = judge_survival(DEATH, again, run())
    assert any("120 further cases" in remark for remark in section.remarks)
    assert one(section, "c_index", "Cox model").n == 120


# --- time -------------------------------------------------------------------------------------------------------------


def test_survival_figures_are_those_of_the_statistics(death):
    time, died, risk = column("months"), column("died"), 1 - column("alive_12") / 100
    found = one(death, "c_index", "Cox model")
    expected = c_index(time, died, risk, repeats=30)
    assert (found.value, found.lower, found.upper) == pytest.approx(expected)
    at_12 = calibration_at(time, died, risk, 12.0)
    assert one(death, "calibration_slope", "Cox model").value == pytest.approx(at_12["slope"].value)
    assert one(death, "observed_to_expected", "Cox model").value == pytest.approx(1, abs=0.2)
    assert one(death, "c_index_difference", "Cox model − Points").p < 0.05


def test_the_area_until_the_time_of_the_chances_is_given_of_all_scores(death):
    time, died, risk = column("months"), column("died"), 1 - column("alive_12") / 100
    found = one(death, "auc_until", "Cox model")
    assert (found.value, found.lower, found.upper) == pytest.approx(auc_at(time, died, risk, 12.0, repeats=30))
    assert (found.note, found.events) == ("until 12 months", int(died[time <= 12].sum()))
    points = one(death, "auc_until", "Points")
    assert points.value == pytest.approx(auc_at(time, died, column("points"), 12.0, repeats=1).value)
    (block,) = [block for block in blocks_of(death) if block.heading == "Discrimination until a time"]
    assert {line.heading: line.notes for line in block.lines}["Points"] == ["until 12 months"]


def test_groups_by_a_point_set_before_and_by_the_median(death):
    time, died = column("months"), column("died")
    points = one(death, "log_rank", "Points")
    assert (points.value, points.p) == pytest.approx(log_rank(time, died, column("points") > 0.5))
    assert "set before" in points.note
    assert one(death, "hazard_ratio", "Points").value > 1
    assert one(death, "hazard_ratio", "Cox model").value < 1  # those who likely live are the high group
    assert "the median here" in one(death, "log_rank", "Cox model").note
    names = {drawing.name for drawing in death.drawings}
    assert {"death_survival_alive_12", "death_survival_points", "death_calibration", "death_decision_12"} == names


def test_the_searched_cutoff_has_a_corrected_p_value(death):
    found = one(death, "best_cutoff", "Points")
    assert found.p == pytest.approx(1 / 101)
    assert "do worse" in found.note
    assert "do better" in one(death, "best_cutoff", "Cox model").note


def test_a_cohort_without_deaths_is_not_judged():
    section = judge_survival(DEATH, Table([{**row, "died": 0} for row in ROWS]), run())
    assert section.rows == []
    assert any("0 of 240 patients have the event" in remark for remark in section.remarks)


def test_calibration_needs_events_until_then():
    early = replace(DEATH, scores=(replace(DEATH.scores[0], until=0.01),), subgroups=())
    section = judge_survival(early, TABLE, run())
    assert any("events until 0.01 months (10 are needed)" in remark for remark in section.remarks)
    assert not rows(section, "calibration_slope")


# --- quantities -------------------------------------------------------------------------------------------------------


def test_agreement_is_that_of_the_statistics():
    section = judge_continuous(replace(SIZE, subgroups=(Subgroup("sex", "Sex"),)), TABLE, run())
    found = bland_altman(column("size"), column("true_size"))
    for name in ("bias", "lower_limit", "upper_limit"):
        assert one(section, name, "Network").value == pytest.approx(getattr(found, name).value)
    assert one(section, "intraclass", "Network").value > 0.99
    inside = np.abs(column("size_lower") + 40 - column("true_size")) < 1e-6
    assert one(section, "coverage", "Network").value == inside.mean() == 1
    assert one(section, "bias", "Network", "Sex: male").n == TABLE.texts("sex").count("male")


def test_quality_counts_what_was_missed():
    section = judge_quality(MASKS, TABLE, run())
    assert one(section, "mean", "Liver").value == pytest.approx(column("dice").mean())
    assert one(section, "worst", "Liver").value == column("dice").min()
    section = judge_quality(FAR, TABLE, run())
    finite = column("hd95")[np.isfinite(column("hd95"))]
    assert one(section, "median", "Liver").value == pytest.approx(np.median(finite))
    assert one(section, "worst", "Liver").value == finite.max()
    assert (one(section, "missed", "Liver").value, one(section, "missed", "Liver").n) == (1 / 240, 240)


# --- tables and drawings ----------------------------------------------------------------------------------------------


def test_tables_hold_every_figure_that_is_shown(event):
    blocks = {block.heading: block for block in blocks_of(event)}
    lines = blocks["Discrimination"].lines
    assert [line.heading for line in lines] == ["Model", "Other model", "Points"]
    found = one(event, "auc", "Model")
    assert lines[0].cells == [cell(found)]
    assert lines[0].count == f"240 ({found.events})"
    assert [line.heading for line in blocks["Subgroups"].lines][:3] == ["all", "Sex: female", "Sex: male"]


def test_texts_of_cells():
    row = judge_binary(EVENT, TABLE, run()).rows[0]
    nothing = {"lower": np.nan, "upper": np.nan}
    assert cell(replace(row, value=0.8, lower=0.7, upper=1.0)) == "0.800 (0.700 to 1.000)"
    assert cell(replace(row, value=-0.0001, lower=-12.0, upper=9.0)) == "0.000 (−12.000 to 9.000)"
    assert cell(replace(row, figure="sensitivity", value=0.8, lower=0.7, upper=0.9)) == "80.0 (70.0 to 90.0) %"
    assert cell(replace(row, value=5.0, unit="mL", p=0.0001, **nothing)) == "5 mL, p < 0.001"
    assert cell(replace(row, value=532.4, unit="mL", **nothing)) == "532 mL"
    assert cell(replace(row, figure="median_survival", value=np.inf, lower=np.nan, upper=np.nan)) == "not reached"


def texts_of(figure):
    """All texts that are drawn; ticks outside the axes' limits are not."""
    found = [figure._suptitle] if figure._suptitle else []
    found += [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            places = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=False)
            found += [label for place, label in places if min(low, high) <= place <= max(low, high)]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("endpoint", [EVENT, DEATH, SIZE, MASKS, FAR], ids=lambda one: one.key)
def test_no_text_of_a_figure_is_cut_off(endpoint):
    """Everything that is written lies inside the figure, with labels as long as real ones."""
    long = "A score with quite a long name, from a network and from clinical values"
    scores = tuple(replace(score, label=f"{long} {n}") for n, score in enumerate(endpoint.scores))
    title = "An endpoint whose title goes on until it needs a second line of the figure"
    endpoint = replace(endpoint, title=title, scores=scores, subgroups=())
    judges = {"event": judge_binary, "death": judge_survival, "size": judge_continuous}
    section = judges.get(endpoint.key, judge_quality)(endpoint, TABLE, Run(simulated_cohort=True, repeats=3))
    assert section.drawings
    for drawing in section.drawings:
        drawing.figure.draw_without_rendering()
        whole = drawing.figure.bbox
        assert len(texts_of(drawing.figure)) > 5
        for text in texts_of(drawing.figure):
            box = text.get_window_extent()
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= whole.x1 + 1 and box.y1 <= whole.y1 + 1
            assert inside, f"{drawing.name}: {text.get_text()!r} at {box}"
