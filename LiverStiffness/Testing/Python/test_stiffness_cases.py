"""Examinations as slices on disk: gray values in eight bits, labels in place, the body's box, what the liver shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stiffness_phantoms import CHILD, LIVER_SHAPE, PLAIN, PROTOCOL, SPLEEN_SHAPE, margin_in, scan_grid, simulated

from LiverStiffnessLib.labels import LIVER, SPLEEN
from LiverStiffnessLib.learning import cases
from LiverStiffnessLib.learning.cases import (
    LEVELS,
    TARGETS,
    SliceStack,
    load,
    real_stacks,
    simulate_stacks,
    simulated_stacks,
    stacks_on,
    store,
    targets_of,
)
from LiverStiffnessLib.segmenting.network import GRAY_HIGH, GRAY_LOW, SEQUENCES, to_gray_slices
from LiverStiffnessLib.simulation.causes import expected_log_kpa
from LiverStiffnessLib.simulation.patients import draw_examination
from LiverStiffnessLib.simulation.real_anatomy import RealAnatomy
from PrognosisLib.slicewise.lattice import MULTIPLE
from PrognosisLib.volume import Volume

STEP = (GRAY_HIGH - GRAY_LOW) / LEVELS
BODY = (100.0, 85.0)  # half axes of a body, mm


def body_on(grid) -> tuple[Volume, Volume]:
    """An image of a body with liver and spleen, and its labels."""
    points = grid.to_ras(np.indices(grid.shape).reshape(3, -1).T)
    inside = (points[:, 0] / BODY[0]) ** 2 + (points[:, 1] / BODY[1]) ** 2 < 1
    rng = np.random.default_rng(0)
    array = np.where(inside.reshape(grid.shape), 120.0, 1.0) + rng.random(grid.shape)
    labels = np.zeros(grid.shape, np.uint8)
    for label, shape, gray in ((LIVER, LIVER_SHAPE, 80.0), (SPLEEN, SPLEEN_SHAPE, 260.0)):
        organ = margin_in(shape, grid) > 0
        labels[organ], array[organ] = label, gray
    return Volume(array.astype(np.float32), grid.ijk_to_ras, "MR"), Volume(labels, grid.ijk_to_ras, "labels")


@pytest.fixture(scope="module")
def stack() -> SliceStack:
    image, labels = body_on(scan_grid((1.5, 1.5, 7.0)))
    return SliceStack.from_volumes("by hand", "T1", image, labels, np.arange(len(TARGETS), dtype=np.float32), True)


# --- one image --------------------------------------------------------------------------------------------------------


def test_gray_values_lose_half_a_step_at_most(stack):
    image, _ = body_on(scan_grid((1.5, 1.5, 7.0)))
    slices = to_gray_slices(image)
    assert stack.gray.dtype == stack.labels.dtype == np.uint8
    assert stack.values.dtype == np.float32
    # The box of the stack in the slices that the network would get.
    start = np.rint(np.linalg.inv(slices.ijk_to_ras) @ stack.ijk_to_ras[:, 3])[:3].astype(int)[::-1]
    box = tuple(slice(a, a + n) for a, n in zip(start, stack.gray.shape, strict=True))
    apart = np.abs(stack.values - slices.array[box])
    assert apart.max() <= STEP / 2 + 1e-5
    assert apart.mean() > STEP / 20  # so it is not simply the same array
    assert slices.array.shape[0] == stack.gray.shape[0]


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"flips": (True, True, False)},
        {"flips": (False, True, True), "order": (2, 0, 1)},
        {"spacing": (1.5, 1.5, 3.5), "turn": (6.0, -4.0, 8.0)},
    ],
    ids=["straight", "as scanners do", "sagittal", "thin and oblique"],
)
def test_labels_lie_on_their_organs_whatever_the_scans_lattice(geometry):
    grid = scan_grid(**{"spacing": (1.5, 1.5, 7.0), **geometry})
    made = SliceStack.from_volumes("x", "T2", *body_on(grid), np.zeros(len(TARGETS), np.float32), False)
    places = np.indices(made.labels.shape).reshape(3, -1).T[:, ::-1]
    points = places @ made.ijk_to_ras[:3, :3].T + made.ijk_to_ras[:3, 3]
    voxel_ml = abs(np.linalg.det(made.ijk_to_ras[:3, :3])) / 1000
    for label, shape in ((LIVER, LIVER_SHAPE), (SPLEEN, SPLEEN_SHAPE)):
        inside = made.labels.ravel() == label
        np.testing.assert_allclose(points[inside].mean(axis=0), shape.center, atol=2.0)
        assert np.count_nonzero(inside) * voxel_ml == pytest.approx(shape.volume_ml, rel=0.06)
    middle = made.values[len(made.values) // 2]
    labels = made.labels[len(made.values) // 2]
    assert np.median(middle[labels == SPLEEN]) > np.median(middle[labels == LIVER]) + 1
    # i runs to the right and j to the front: the liver, on the right, is on the large side of i.
    assert np.argwhere(labels == LIVER)[:, 1].mean() > np.argwhere(labels == SPLEEN)[:, 1].mean()


def test_the_box_holds_the_body_and_hardly_more(stack):
    k, j, i = stack.gray.shape
    assert j % MULTIPLE == i % MULTIPLE == 0
    corner = stack.ijk_to_ras[:2, 3]
    step = np.diag(stack.ijk_to_ras)[:2]
    far = corner + step * (np.array([i, j]) - 1)
    for axis, half in enumerate(BODY):
        assert corner[axis] < -half + 2
        assert far[axis] > half - 2
        assert far[axis] - corner[axis] < 2 * half + 9 * 2 + MULTIPLE * 2
    slices = to_gray_slices(body_on(scan_grid((1.5, 1.5, 7.0)))[0])
    assert stack.gray.size < slices.array.size
    assert k == slices.array.shape[0]


def test_an_image_without_a_body_keeps_its_size():
    grid = scan_grid((3.0, 3.0, 10.0))
    nothing = Volume(np.zeros(grid.shape, np.int16), grid.ijk_to_ras, "MR")
    labels = Volume(np.zeros(grid.shape, np.uint8), grid.ijk_to_ras, "labels")
    made = SliceStack.from_volumes("empty", "T2", nothing, labels, np.zeros(len(TARGETS), np.float32), False)
    assert made.gray.shape == to_gray_slices(nothing).array.shape
    assert not made.labels.any()


# --- on disk ----------------------------------------------------------------------------------------------------------


def test_stacks_survive_the_way_to_disk(tmp_path, stack):
    path = tmp_path / "folder" / "by hand.npz"
    other = replace(stack, sequence=0, targets=np.full(len(TARGETS), np.nan, np.float32), simulated=False)
    store([stack, other], path)
    again = load(path)
    assert [path.name for path in path.parent.iterdir()] == ["by hand.npz"]
    assert [one.sequence for one in again] == [SEQUENCES.index("T1"), 0]
    for one, wanted in zip(again, (stack, other), strict=True):
        assert (one.name, one.simulated) == ("by hand", wanted.simulated)
        for name in ("gray", "labels", "ijk_to_ras", "targets"):
            np.testing.assert_array_equal(getattr(one, name), getattr(wanted, name))
            assert getattr(one, name).dtype == getattr(wanted, name).dtype
    store([stack], path)
    assert len(load(path)) == 1


def test_an_interrupted_write_leaves_nothing_that_looks_whole(tmp_path, stack, monkeypatch):
    def full_disk(path, **_content):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    path = tmp_path / "x.npz"
    with pytest.raises(OSError, match="No space"):
        store([stack], path)
    assert not path.exists()


def test_examinations_that_are_there_are_kept(tmp_path):
    """Else this would need the time of three simulations."""
    paths = [tmp_path / f"simulated_{seed:05d}.npz" for seed in (7, 8, 9)]
    for path in paths:
        path.write_bytes(b"kept")
    assert simulate_stacks(tmp_path, range(7, 10)) == paths
    assert all(path.read_bytes() == b"kept" for path in paths)


# --- where they come from ---------------------------------------------------------------------------------------------


@pytest.fixture
def small_examinations(monkeypatch):
    """Simulated patients are small children in coarse images."""

    def small(seed: int):
        return replace(draw_examination(seed), parameters=CHILD, protocol=PROTOCOL, look=PLAIN)

    monkeypatch.setattr(cases, "draw_examination", small)
    return small


def test_simulated_stacks_hold_both_sequences_and_what_the_liver_shows(small_examinations):
    stacks = simulated_stacks(4, other=True)
    assert [SEQUENCES[one.sequence] for one in stacks] == ["T2", "T1", "other"]
    examination = small_examinations(4)
    for one in stacks:
        assert one.name == "simulated_00004"
        assert one.simulated
        ml = np.count_nonzero(one.labels == LIVER) * abs(np.linalg.det(one.ijk_to_ras[:3, :3])) / 1000
        assert ml == pytest.approx(CHILD.liver_mL, rel=0.08)
        np.testing.assert_array_equal(one.targets, targets_of(examination))
    t2, t1 = (
        np.median(one.values[one.labels == SPLEEN]) - np.median(one.values[one.labels == LIVER]) for one in stacks[:2]
    )
    assert t2 > 0.5
    assert t1 < -0.1
    signs = examination.signs
    wanted = [getattr(signs, name) for name in TARGETS[:-1]] + [expected_log_kpa(signs, examination.is_child)]
    np.testing.assert_allclose(stacks[0].targets, wanted, atol=1e-4)


def test_one_simulated_seed_gives_one_file(tmp_path, small_examinations):
    job = (tmp_path / "simulated_00004.npz", 4)
    cases._simulate_one(job, other_share=1.0)
    (first, second, third) = load(job[0])
    assert third.sequence == SEQUENCES.index("other")
    np.testing.assert_array_equal(first.gray, simulated_stacks(4)[0].gray)
    assert second.name == "simulated_00004"
    cases._simulate_one(job, other_share=0.0)
    assert len(load(job[0])) == 2


def test_real_stacks_know_nothing_of_the_liver():
    image, labels = body_on(scan_grid((2.0, 2.0, 7.0)))
    stacks = real_stacks("chaos_01", {"T2": image, "T1": image}, labels)
    assert [SEQUENCES[one.sequence] for one in stacks] == ["T2", "T1"]
    for one in stacks:
        assert not one.simulated
        assert np.isnan(one.targets).all()
        assert one.targets.shape == (len(TARGETS),)


def test_stacks_on_a_real_anatomy_are_simulated_ones_with_its_name(small_examinations):
    made = simulated()[0]
    stacks = stacks_on(RealAnatomy("chaos_01", made.volume, made.labels), 30_005)
    assert [one.name for one in stacks] == ["chaos_01_30005"] * 2
    assert [SEQUENCES[one.sequence] for one in stacks] == ["T2", "T1"]
    for one in stacks:
        assert one.simulated
        np.testing.assert_array_equal(one.targets, targets_of(small_examinations(30_005)))
        assert np.count_nonzero(one.labels == LIVER) > 500
