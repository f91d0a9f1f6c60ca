"""What is no MR image of its role is refused with one sentence that says what to do; what is doubtful is flagged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stiffness_phantoms import read_by_hand, scan_grid, simulated

from LiverStiffnessLib.labels import SPLEEN
from LiverStiffnessLib.segmenting.alignment import Alignment
from LiverStiffnessLib.segmenting.mr_checks import (
    ALIKE_LIVER,
    DOUBTFUL,
    DOUBTFUL_LIVER,
    OTHER_LIVER,
    SURE,
    check_mr,
    check_one_patient,
    check_sequences,
    spleen_over_liver,
)
from PrognosisLib.errors import InputError
from PrognosisLib.volume import Volume

NAMES = {"T2": "ax t2 haste", "T1": "ax t1 vibe"}
TITLES = {"T2": "T2-weighted MRI", "T1": "T1-weighted MRI"}


def one_sentence(message: str) -> str:
    """What is wrong and, after a colon or semicolon, what to do; nothing after the full stop."""
    assert message.endswith(".")
    assert ". " not in message
    assert message[0].isupper() or message[0] == "'"
    wrong, _, remedy = message.replace(":", ";").rpartition(";")
    assert wrong
    assert remedy.split()[0] in {"choose", "export", "exchange", "give", "check", "add"}, remedy
    return message


def refusal(call, *arguments) -> str:
    with pytest.raises(InputError) as error:
        call(*arguments)
    return one_sentence(str(error.value))


def image(array: np.ndarray | None = None) -> Volume:
    made = simulated()[0].volume
    return Volume(made.array if array is None else array, made.ijk_to_ras, "MR", NAMES["T2"])


# --- before the network -----------------------------------------------------------------------------------------------


def gray() -> np.ndarray:
    return simulated()[0].volume.array


@pytest.mark.parametrize("sequence", ["T2", "T1"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: gray(),
        lambda: np.clip(gray() // 4, 0, 255).astype(np.uint8),
        lambda: (gray() / float(gray().max())).astype(np.float32),
        lambda: gray().astype(np.uint16) * 30,
        lambda: gray().astype(float) - 1.0,  # air just below zero, as after filtering
    ],
    ids=["int16", "eight bits", "0 to 1", "uint16", "filtered"],
)
def test_magnitude_images_pass(make, sequence):
    array = make()
    if array.min() < 0:
        array[array < 0] *= np.random.default_rng(0).random(np.count_nonzero(array < 0)) < 0.1
    check_mr(image(array), sequence)


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (lambda: np.full(gray().shape, 7, np.int16), "the same value (7) in every voxel"),
        (lambda: (gray() > 20).astype(np.uint8), "label map"),
        (lambda: simulated()[0].labels.array, "label map"),
        (lambda: gray() - np.int16(60), "phase, subtraction or parameter image"),
        (lambda: np.where(gray() < 15, -1000, gray() - 60).astype(np.int16), "it is a CT"),
    ],
    ids=["constant", "two values", "labels", "phase", "ct"],
)
def test_other_images_are_refused(make, fragment):
    message = refusal(check_mr, image(make()), "T2")
    assert fragment in message
    assert message.startswith(f"T2-weighted MRI '{NAMES['T2']}'")
    assert TITLES["T1"] in refusal(check_mr, image(make()), "T1")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_single_bad_voxel_is_found_wherever_it_lies(bad):
    """Also in a large image, of which other checks see a sample only."""
    rng = np.random.default_rng(0)
    array = rng.random((64, 160, 160), dtype=np.float32)
    grid = scan_grid((1.0, 1.0, 3.0), (160.0, 160.0, 192.0))
    check_mr(Volume(array, grid.ijk_to_ras, "MR", "large"), "T2")
    for _ in range(3):
        broken = array.copy()
        broken[tuple(rng.integers(broken.shape))] = bad
        assert "NaN or infinite" in refusal(check_mr, Volume(broken, grid.ijk_to_ras, "MR", "large"), "T2")


def test_too_few_slices_are_refused():
    whole = image()
    part = Volume(whole.array[:5], whole.ijk_to_ras, "MR", NAMES["T2"])
    assert "only 5 slices" in refusal(check_mr, part, "T2")
    check_mr(Volume(whole.array[:12], whole.ijk_to_ras, "MR", NAMES["T2"]), "T2")


# --- after the network ------------------------------------------------------------------------------------------------

SCAN = scan_grid((4.0, 4.0, 8.0))


def pair(t2: dict | None = None, t1: dict | None = None) -> dict:
    return {
        "T2": read_by_hand(SCAN, **{"sequence": "T2", **(t2 or {})}),
        "T1": read_by_hand(SCAN, **{"sequence": "T1", **(t1 or {})}),
    }


def test_the_right_sequences_pass_without_a_flag():
    assert check_sequences(pair(), NAMES) == []
    for role, read in pair().items():
        assert check_sequences({role: read}, NAMES) == []


def test_swapped_images_are_told_apart_from_wrong_ones():
    swapped = pair({"sequence": "T1"}, {"sequence": "T2"})
    message = refusal(check_sequences, swapped, NAMES)
    assert message == (
        "The images are swapped: 'ax t2 haste' looks T1-weighted and 'ax t1 vibe' T2-weighted; exchange the two."
    )
    twice = refusal(check_sequences, pair({}, {"sequence": "T2"}), NAMES)
    assert twice == "'ax t1 vibe', given as T1-weighted MRI, looks T2-weighted; choose the T1-weighted MRI."
    alone = refusal(check_sequences, {"T2": swapped["T2"]}, NAMES)
    assert alone == "'ax t2 haste', given as T2-weighted MRI, looks T1-weighted; choose the T2-weighted MRI."


@pytest.mark.parametrize("role", ["T2", "T1"])
def test_diffusion_is_refused_in_both_roles(role):
    read = pair({"sequence": "other"}, {"sequence": "other"})[role]
    message = refusal(check_sequences, {role: read}, NAMES)
    assert "looks neither T1- nor T2-weighted (diffusion, maybe)" in message
    assert f"choose the {TITLES[role]}" in message


def test_what_the_brightness_of_the_spleen_contradicts_is_flagged_only():
    """A network that is sure of T1 while the spleen is brighter than the liver may be wrong."""
    read = pair({"sequence": "T1", "gray": "T2"})
    (flag,) = check_sequences(read, NAMES)
    assert (flag.key, flag.severity) == ("sequence_doubtful_t2", "warning")
    assert "(1 %)" in one_sentence(flag.message)
    without = read_by_hand(SCAN, spleen=None, sequence="T1", gray="T2")
    assert np.isnan(spleen_over_liver(without))
    assert "looks T1-weighted" in refusal(check_sequences, {"T2": without}, NAMES)


def test_a_network_that_is_not_sure_refuses_nothing():
    for role, other in (("T2", "T1"), ("T1", "T2")):
        read = {role: read_by_hand(SCAN, sequence=other, sure=SURE - 0.01)}
        (flag,) = check_sequences(read, NAMES)
        assert flag.key == f"sequence_doubtful_{role.lower()}"
        assert NAMES[role] in one_sentence(flag.message)
        assert NAMES[role] in refusal(check_sequences, {role: read_by_hand(SCAN, sequence=other, sure=SURE)}, NAMES)


def test_doubt_begins_below_its_limit():
    assert check_sequences({"T2": read_by_hand(SCAN, sure=DOUBTFUL)}, NAMES) == []
    (flag,) = check_sequences({"T2": read_by_hand(SCAN, sure=DOUBTFUL - 0.01)}, NAMES)
    assert "(59 %)" in flag.message


@settings(max_examples=15, deadline=None)
@given(st.floats(0.2, 5.0), st.floats(-3, 3), st.sampled_from(["T2", "T1"]))
def test_the_brightness_of_the_spleen_does_not_depend_on_gain_and_offset(gain, offset, sequence):
    read = read_by_hand(SCAN, sequence=sequence)
    values = read.slices.with_array(gain * read.slices.array + np.float32(offset))
    ratio = spleen_over_liver(read)
    assert (ratio > 1) is (sequence == "T2")
    assert spleen_over_liver(replace(read, slices=values)) == pytest.approx(ratio, rel=1e-3)


def test_hardly_a_voxel_of_spleen_tells_nothing():
    read = read_by_hand(SCAN)
    few = np.full_like(read.margins[SPLEEN], -20.0)
    few[10, 40, 40:60] = 3.0
    assert np.isnan(spleen_over_liver(replace(read, margins={**read.margins, SPLEEN: few})))


# --- one patient ------------------------------------------------------------------------------------------------------


def aligned(dice: float) -> Alignment:
    return Alignment(np.zeros(3), dice, float("nan"))


def test_livers_that_do_not_match_are_refused():
    for dice in (0.0, OTHER_LIVER - 0.01, float("nan")):
        message = refusal(check_one_patient, aligned(dice), NAMES)
        assert all(f"'{name}'" in message for name in NAMES.values())
        assert "choose T1 and T2 of one examination" in message
        assert "nan" not in message
    both = Alignment(np.zeros(3), 0.64, 0.90)
    assert "liver 0.64, spleen 0.90" in refusal(check_one_patient, both, NAMES)


def test_livers_that_happen_to_overlap_are_told_by_their_spleens():
    for liver in (0.70, ALIKE_LIVER - 0.01):
        assert "spleen 0.53" in refusal(check_one_patient, Alignment(np.zeros(3), liver, 0.53), NAMES)
    (flag,) = check_one_patient(Alignment(np.zeros(3), ALIKE_LIVER, 0.53), NAMES)  # a spleen that was cut off, maybe
    assert flag.key == "poor_match"
    assert check_one_patient(Alignment(np.zeros(3), 0.83, float("nan")), NAMES) == []


def test_a_poor_match_is_flagged_and_a_good_one_is_not():
    for dice in (OTHER_LIVER, DOUBTFUL_LIVER - 0.01):
        (flag,) = check_one_patient(aligned(dice), NAMES)
        assert (flag.key, flag.severity) == ("poor_match", "warning")
        assert f"{dice:.2f}" in one_sentence(flag.message)
    assert check_one_patient(aligned(DOUBTFUL_LIVER), NAMES) == []
    assert check_one_patient(aligned(0.95), NAMES) == []
    assert check_one_patient(None, NAMES) == []
