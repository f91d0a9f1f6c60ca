"""HepatoPrognosis's pipeline with an exported network: pairs, T0 alone, films, edits, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hepato_images import TAKEN_T0, film, frame, liver_area, pair, write_hepato_bundle

from HepatoPrognosisLib.comparing.maps import CHANGE_NAME, RISK_NAMES
from HepatoPrognosisLib.measuring.evidence import PairEvidence
from HepatoPrognosisLib.pipeline import HepatoPipeline, default_settings
from PrognosisLib.errors import BundleError, Cancelled, InputError
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.findings import SIMULATED
from PrognosisLib.pipeline import Case, Pipeline, run

CLINICAL = {"age": 52.0, "inr": 2.4, "encephalopathy": 1}
MORTALITY = ("clinical_mortality", "siamese_mortality", "combined_mortality")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return HepatoPipeline(write_hepato_bundle(tmp_path_factory.mktemp("bundle") / "Bundle"))


def case_of(volumes, clinical=CLINICAL, **chosen):
    return Case(volumes, clinical, {**default_settings(), "device": "cpu", "threads": 1, **chosen})


@pytest.fixture(scope="module")
def both(pipeline):
    return run(pipeline, case_of(pair()))


def keys(found) -> list[str]:
    return [flag.key for flag in found.flags]


# --- a pair -----------------------------------------------------------------------------------------------------------


def test_a_pair_gives_masks_mortality_and_change(pipeline, both):
    assert isinstance(pipeline, Pipeline)
    assert [(mask.name, mask.role) for mask in both.masks] == [("Liver", ""), ("Liver at T1", "t1")]
    cines = pair()
    for mask, cine, size in zip(both.masks, cines.values(), (1.0, 0.9), strict=True):
        assert mask.grid.same_as(cine.grid)
        assert dice(mask.full()[0] > 0, liver_area(size)) > 0.97
    assert all(0 < both.value(key) < 100 for key in MORTALITY)
    assert all(both.measurement(key).interval.lower < both.value(key) for key in MORTALITY)
    truth = 100 * (liver_area(0.9).sum() / liver_area(1.0).sum() - 1)
    assert both.value("area_change") == pytest.approx(truth, abs=2)
    assert both.value("echogenicity_change") == pytest.approx(-12, abs=3)
    assert SIMULATED in both.summary
    assert both.flags == ()


def test_every_map_lies_on_its_image(both):
    assert [(heat.name, heat.role) for heat in both.heat_maps] == [
        (RISK_NAMES["t0"], ""),
        (CHANGE_NAME, ""),
        (RISK_NAMES["t1"], "t1"),
    ]
    assert all(heat.array.shape == heat.grid.shape for heat in both.heat_maps)


def test_the_map_of_change_is_hot_where_t1_differs(pipeline):
    """A bright spot in T1, and the same everywhere else."""
    spot = frame(seed=1)
    j, i = np.indices(spot.shape)
    spot[np.hypot(j - 115, i - 175) < 14] = 200
    found = run(pipeline, case_of({"t0": film(frame()), "t1": film(spot)}))
    heat = next(heat for heat in found.heat_maps if heat.name == CHANGE_NAME)
    cine = film(frame())
    place = np.linalg.inv(heat.grid.ijk_to_ras) @ cine.ijk_to_ras @ (175, 115, 0, 1)
    i, j = np.rint(place[:2]).astype(int)
    assert heat.array[0, j, i] > 200
    far = np.linalg.inv(heat.grid.ijk_to_ras) @ cine.ijk_to_ras @ (135, 100, 0, 1)
    assert heat.array[0, round(far[1]), round(far[0])] < 60


def test_the_same_pair_gives_the_same_in_another_process(pipeline, both):
    again = run(pickle.loads(pickle.dumps(HepatoPipeline(pipeline.bundle.path))), case_of(pair()))
    assert again.measurements == both.measurements
    for first, second in zip(both.heat_maps, again.heat_maps, strict=True):
        assert np.array_equal(first.array, second.array)


@pytest.mark.parametrize("change", [{"gain": 10.0}, {"shape": (300, 400)}])
def test_gain_and_size_of_t1_hardly_matter(pipeline, both, change):
    second = film(
        frame(seed=1, size=0.9, brighter=-12.0, **change), pixel_mm=0.8 if "gain" in change else 0.64, taken=None
    )
    found = run(pipeline, case_of({**pair(), "t1": second}))
    assert found.value("area_change") == pytest.approx(both.value("area_change"), abs=4)
    assert found.value("echogenicity_change") == pytest.approx(both.value("echogenicity_change"), abs=5)


def test_progress_and_cancel(pipeline):
    told = []
    pipeline.segment(case_of(pair()), lambda fraction, message: told.append((fraction, message)))
    assert [fraction for fraction, _message in told] == sorted(fraction for fraction, _message in told)
    assert {"Reading T0", "Reading T1", "Comparing the images"} <= {message for _fraction, message in told}

    def stop(fraction, message):
        if fraction > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        pipeline.segment(case_of(pair()), stop)


# --- T0 alone ---------------------------------------------------------------------------------------------------------


def test_t0_alone_has_a_wider_interval_and_says_so(pipeline, both):
    alone = run(pipeline, case_of({"t0": pair()["t0"]}))
    assert keys(alone) == ["one_image"]
    assert alone.value("siamese_score") is not None
    ends = [found.measurement("siamese_score").interval for found in (alone, both)]
    assert ends[0].upper - ends[0].lower > ends[1].upper - ends[1].lower
    assert [heat.name for heat in alone.heat_maps] == [RISK_NAMES["t0"]]
    assert alone.value("area_change") is None


def test_a_t1_without_a_liver_leaves_t0(pipeline):
    found = run(pipeline, case_of(pair(has_liver=False)))
    assert keys(found) == ["no_liver_t1", "one_image"]
    assert [mask.name for mask in found.masks] == ["Liver"]
    assert found.value("siamese_mortality") is not None


def test_a_t0_without_a_liver_leaves_the_clinical_model(pipeline):
    volumes = {**pair(), "t0": film(frame(has_liver=False))}
    found = run(pipeline, case_of(volumes))
    assert keys(found) == ["no_liver_t0"]
    assert found.masks == ()
    assert found.value("siamese_mortality") is None
    assert "no liver was found" in found.measurement("siamese_mortality").note
    assert found.value("clinical_mortality") is not None


# --- films ------------------------------------------------------------------------------------------------------------


def films() -> dict:
    first = film(*(frame(seed=n, size=size) for n, size in enumerate((0.6, 1.0, 0.8))), name="T0 film")
    second = film(*(frame(seed=9 + n, size=size) for n, size in enumerate((0.9, 0.5))), name="T1 film")
    return {"t0": first, "t1": second}


def test_the_best_frame_of_each_film_is_read(pipeline):
    found = run(pipeline, case_of(films()))
    assert (found.value("frame_t0"), found.value("frame_t1")) == (2, 1)
    assert [mask.start[0] for mask in found.masks] == [1, 0]
    assert all(len(mask.array) == 1 for mask in found.masks)
    assert found.provenance["frames"] == {"t0": {"all": 3, "read": 2}, "t1": {"all": 2, "read": 1}}
    assert found.measurement("frame_t0").place[2] == pytest.approx(1)


def test_a_chosen_frame_is_read_and_a_later_choice_is_flagged(pipeline):
    case = case_of(films(), frame_t0=3.0)
    found = run(pipeline, case)
    assert (found.value("frame_t0"), found.value("frame_t1")) == (3, 1)
    assert keys(found) == []
    masks = {mask.name: mask for mask in found.masks}
    later = pipeline.measure(case_of(films(), frame_t0=1.0, frame_t1=1.0), masks)
    assert keys(later) == ["other_frame_t0"]
    assert keys(pipeline.measure(case_of(films()), masks)) == []


@pytest.mark.parametrize(
    ("frame_t0", "said"),
    [(9.0, "'T0 film' has 3 frames, and no frame 9"), (0.0, "T0 has no frame 0"), (1.5, "T0 has no frame 1.5")],
)
def test_a_frame_that_is_not_there_is_refused(pipeline, frame_t0, said):
    with pytest.raises(InputError, match=said):
        pipeline.segment(case_of(films(), frame_t0=frame_t0))


def test_a_chosen_frame_without_a_liver_is_told(pipeline):
    volumes = {"t0": film(frame(), frame(seed=4, has_liver=False), name="Two")}
    found = run(pipeline, case_of(volumes, frame_t0=2.0))
    assert "frame 2 of 'Two'" in found.flags[0].message
    assert keys(run(pipeline, case_of(volumes))) == ["one_image"]


# --- edits ------------------------------------------------------------------------------------------------------------


def test_an_edit_changes_areas_and_no_reading(pipeline, both):
    masks = {mask.name: mask for mask in both.masks}
    half = masks["Liver at T1"].array.copy()
    half[:, : half.shape[1] // 2] = False
    edited = {**masks, "Liver at T1": replace(masks["Liver at T1"], array=half)}
    again = pipeline.measure(case_of(pair()), edited)
    share = half.sum() / masks["Liver at T1"].array.sum()
    assert again.value("liver_area_t1") == pytest.approx(share * both.value("liver_area_t1"))
    assert again.value("liver_area_t0") == both.value("liver_area_t0")
    assert again.value("combined_mortality") == both.value("combined_mortality")
    assert keys(again) == ["area_change"]


def test_t1_chosen_or_removed_after_the_run_is_told(pipeline, both):
    masks = {mask.name: mask for mask in both.masks}
    assert keys(pipeline.measure(case_of({"t0": pair()["t0"]}), masks)) == ["t1_gone"]
    alone = run(pipeline, case_of({"t0": pair()["t0"]}))
    added = pipeline.measure(case_of(pair()), {mask.name: mask for mask in alone.masks})
    assert [(flag.key, flag.severity) for flag in added.flags] == [("one_image", "warning")]


def test_what_was_read_is_in_the_evidence(both):
    found = PairEvidence.from_text(both.mask("Liver").evidence)
    assert found.score_pair == pytest.approx(both.value("siamese_score"), abs=1e-4)
    assert (found.spread_t0, found.spread_pair) == (0.5, 0.3)
    assert both.mask("Liver at T1").evidence == ""


# --- what is refused --------------------------------------------------------------------------------------------------


def test_one_image_twice_is_refused(pipeline):
    first = film(frame(), name="A")
    brighter = film(np.clip(frame() * 1.2, 0, 255).astype(np.uint8)[4:200, 50:280], name="B")
    for second in (first, brighter):
        with pytest.raises(InputError, match=r"T0 .'A'. and T1 .'[AB]'. are the same image"):
            pipeline.segment(case_of({"t0": first, "t1": second}))


def test_swapped_images_and_two_patients_are_refused(pipeline):
    volumes = pair()
    with pytest.raises(InputError, match="exchange the two images"):
        pipeline.segment(case_of({"t0": volumes["t1"], "t1": volumes["t0"]}))
    with pytest.raises(InputError, match="two patients"):
        pipeline.segment(case_of({**volumes, "t1": replace(volumes["t1"], patient="PatientID 0000")}))


def test_a_doppler_image_is_refused(pipeline):
    color = np.repeat(frame()[..., None], 3, axis=-1)
    color[80:150, 120:200, 0] = 250
    with pytest.raises(InputError, match="has color over"):
        pipeline.segment(case_of({"t0": film(color)}))


def test_flags_about_a_film_say_which(pipeline):
    volumes = {**pair(), "t1": replace(film(frame(seed=1), pixel_mm=None), taken=TAKEN_T0)}
    found = run(pipeline, case_of({**volumes, "t0": replace(volumes["t0"], taken=None)}))
    assert keys(found) == ["cine_pixel_size_t1"]
    assert found.flags[0].message.startswith("T1: ")
    assert found.value("liver_area_t1") is None
    assert found.value("liver_area_t0") is not None


@pytest.mark.parametrize("days", [5.0, 91.0])
def test_a_mortality_that_cannot_be_told_is_refused(pipeline, days):
    with pytest.raises(InputError, match="cannot be told"):
        pipeline.segment(case_of(pair(), mortality_days=days))


def test_a_bundle_of_another_system_is_refused(tmp_path):
    from PrognosisLib.systems import SYSTEMS

    with pytest.raises(BundleError, match="is made for 'spleen'"):
        HepatoPipeline(SYSTEMS["spleen"].default_bundle())
