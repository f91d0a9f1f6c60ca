"""The training loop learns, stops and resumes; patches show the patient where he is; the loss has its limits."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from PrognosisLib.learning.patches import TrainingCase, degrade, random_lattice, sample_patch
from PrognosisLib.learning.training import Batch, LoopSettings, TrainingRun, segmentation_loss
from PrognosisLib.learning.unet import HalfResolutionUNet
from PrognosisLib.volume import Grid, Volume, resample

QUICK = LoopSettings(steps=24, learning_rate=1e-2, warm_up=4, save_every=8, average=0.9, seed=3)


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks lose time to threads that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sphere(rng: np.random.Generator, size: int = 16) -> Batch:
    """Bright spheres of random place and radius in noise, and their masks."""
    images, targets = [], []
    points = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), axis=-1)
    for _ in range(4):
        inside = np.linalg.norm(points - rng.uniform(5, size - 6, 3), axis=-1) < rng.uniform(3, 5)
        images.append(inside * 1.0 - 0.5 + rng.normal(0, 0.1, inside.shape))
        targets.append(np.stack([~inside, inside]))
    return torch.tensor(np.array(images), dtype=torch.float32)[:, None], torch.tensor(np.array(targets)).float()


def tiny() -> nn.Module:
    torch.manual_seed(1)
    return HalfResolutionUNet(1, 2, (8, 12))


def a_run(folder: Path, settings: LoopSettings = QUICK) -> TrainingRun:
    return TrainingRun(tiny(), sphere, settings, folder)


# --- the loop ---------------------------------------------------------------------------------------------------------


def test_a_tiny_network_learns_a_sphere(tmp_path: Path):
    run = a_run(tmp_path, replace(QUICK, steps=40))
    assert run.run()
    network = run.final_network(batches=4)
    image, target = sphere(np.random.default_rng(99))
    with torch.no_grad():
        found = network(image).argmax(dim=1)
    truth = target[:, 1]
    dice = 2 * float((found * truth).sum()) / float((found + truth).sum())
    assert dice > 0.85
    with torch.no_grad():
        before = tiny().eval()(image).argmax(dim=1)
    assert 2 * float((before * truth).sum()) / float((before + truth).sum()) < 0.6
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [int(row["step"]) for row in rows] == [8, 16, 24, 32, 40]
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])


def test_a_run_that_was_stopped_and_resumed_gives_the_same_weights(tmp_path: Path):
    settings = replace(QUICK, steps=9)
    whole = a_run(tmp_path / "whole", settings)
    assert whole.run()
    stopped = a_run(tmp_path / "parts", settings)
    stops = 0
    while not stopped.run(stop_after_seconds=0.0):  # one step a session
        stops += 1
        assert stopped.step == stops
        stopped = a_run(tmp_path / "parts", settings)
    assert stops == 8
    for one, other in ((whole.network, stopped.network), (whole.averaged, stopped.averaged)):
        for (name, value), again in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
            np.testing.assert_allclose(value.numpy(), again.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_finished_run_is_not_run_again_and_another_seed_gives_other_weights(tmp_path: Path):
    short = replace(QUICK, steps=3, save_every=10)
    first = a_run(tmp_path / "one", short)
    first.run()
    again = a_run(tmp_path / "one", short)
    assert again.step == 3
    assert again.run()
    assert torch.equal(first.network.head.weight, again.network.head.weight)
    other = a_run(tmp_path / "two", replace(short, seed=4))
    other.run()
    assert not torch.allclose(first.network.head.weight, other.network.head.weight)


def test_no_half_checkpoint_is_left_and_it_holds_no_code(tmp_path: Path):
    a_run(tmp_path, replace(QUICK, steps=2)).run()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "log.csv", "settings.json"}
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2


def test_the_final_network_measures_its_normalization_anew(tmp_path: Path):
    run = a_run(tmp_path, replace(QUICK, steps=2))
    run.run()
    network = run.final_network(batches=2)
    assert not network.training
    first, second = (sphere(np.random.default_rng([QUICK.seed, 10**7 + n]))[0] for n in range(2))
    with torch.no_grad():
        deep = [network.stem(image) for image in (first, second)]
        means = [network.encoder[0].first(one).mean(dim=(0, 2, 3, 4)) for one in deep]
    torch.testing.assert_close(
        network.encoder[0].first_norm.running_mean, torch.stack(means).mean(dim=0), rtol=1e-3, atol=1e-3
    )


def test_the_rate_warms_up_stays_and_falls_to_zero():
    settings = LoopSettings(steps=1000, learning_rate=2.0, warm_up=100, decay=0.4)
    rates = np.array([settings.rate(step) for step in range(1001)])
    assert rates[0] == pytest.approx(0.02)
    assert np.all(rates[100:600] == 2.0)
    assert np.all(np.diff(rates[600:]) < 0)
    assert rates[800] == pytest.approx(1.0)
    assert rates[1000] == 0.0


# --- the loss ---------------------------------------------------------------------------------------------------------


def one_hot(labels: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(labels), 3).permute(0, 4, 1, 2, 3).float()


@pytest.fixture
def target() -> torch.Tensor:
    labels = np.zeros((2, 12, 12, 12), dtype=np.int64)
    labels[:, 2:8, 2:8, 2:8] = 1
    labels[:, 8:, :, :] = 2
    return one_hot(labels)


def test_loss_is_zero_for_certain_truth_and_large_for_certain_error(target: torch.Tensor):
    sure = 40.0 * target
    assert float(segmentation_loss(sure, target)) == pytest.approx(0.0, abs=1e-3)
    wrong = 40.0 * target.roll(1, dims=1)
    # Cross-entropy is the margin, 40; Dice of nothing in common is 1 less a smoothing term.
    assert float(segmentation_loss(wrong, target)) == pytest.approx(41.0, abs=0.01)
    assert torch.isfinite(segmentation_loss(1e4 * target.roll(1, dims=1), target))


def test_loss_of_knowing_nothing(target: torch.Tensor):
    entropy = np.log(3.0)
    n = target[:, 0].numel()
    dice = []
    for organ in (1, 2):
        truth = float(target[:, organ].sum())
        dice.append(1 - (2 * truth / 3 + 1) / (n / 3 + truth + 1))
    assert float(segmentation_loss(torch.zeros_like(target), target)) == pytest.approx(
        entropy + np.mean(dice), rel=1e-5
    )


def test_an_organ_that_is_not_there_has_no_dice_term():
    target = one_hot(np.zeros((1, 8, 8, 8), dtype=np.int64))
    logits = torch.zeros_like(target)
    assert float(segmentation_loss(logits, target)) == pytest.approx(np.log(3.0), rel=1e-5)


def test_loss_takes_fractions_and_pulls_towards_them():
    fraction = torch.full((1, 3, 8, 8, 8), 1 / 3)
    logits = torch.randn(1, 3, 8, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = segmentation_loss(logits, fraction)
    loss.backward()
    with torch.no_grad():
        assert segmentation_loss(logits - logits.grad * 100, fraction) < loss


# --- patches ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def case() -> TrainingCase:
    """An oblique, flipped, anisotropic and sheared case with values and labels everywhere."""
    rng = np.random.default_rng(5)
    matrix = np.diag([-1.1, 0.9, 2.5, 1.0])
    matrix[:3, 3] = (40.0, -30.0, -20.0)
    turn = random_lattice(rng, np.zeros(3), 1.0, 1, degrees=25.0, scale=1.0)
    matrix = turn @ matrix
    matrix[1, 2] -= 0.6
    shape = (20, 44, 40)
    smooth = rng.normal(0, 200, (5, 11, 10)).repeat(4, 0).repeat(4, 1).repeat(4, 2)
    labels = rng.choice([0, 1, 6], p=[0.5, 0.3, 0.2], size=(5, 11, 10)).repeat(4, 0).repeat(4, 1).repeat(4, 2)
    image = Volume(smooth.astype(np.int16), matrix)
    assert image.array.shape == shape
    return TrainingCase.from_volumes("one", image, Volume(labels.astype(np.uint8), matrix))


@pytest.mark.parametrize("seed", range(6))
def test_a_patch_is_what_resampling_gives(case: TrainingCase, seed: int):
    rng = np.random.default_rng(seed)
    size, fill = 16, -125.0
    center = case.random_point(rng, 1)
    lattice = random_lattice(rng, center, 1.75, size, degrees=12.0, scale=1.25)
    patch, fractions = sample_patch(case, lattice, size, ((1,), (6,), (1, 6)), fill)
    grid = Grid((size,) * 3, lattice)
    image = case.image.numpy()
    inverse = np.linalg.inv(case.ijk_to_ras) @ lattice
    kji = np.argwhere(np.ones(grid.shape, dtype=bool))
    ijk = kji[:, ::-1] @ inverse[:3, :3].T + inverse[:3, 3]
    last = np.array(image.shape[::-1]) - 1
    inside = np.all((ijk > 0.01) & (ijk < last - 0.01), axis=1).reshape(grid.shape)
    outside = np.any((ijk < -1.01) | (ijk > last + 1.01), axis=1).reshape(grid.shape)
    assert inside.any()
    expected = resample(image, case.ijk_to_ras, grid, fill)
    np.testing.assert_allclose(patch.numpy()[inside], expected[inside], atol=0.5)
    np.testing.assert_allclose(patch.numpy()[outside], fill, atol=1e-3)
    labels = case.labels.numpy()
    for found, group in zip(fractions.numpy(), ((1,), (6,), (1, 6)), strict=True):
        expected = resample(np.isin(labels, group), case.ijk_to_ras, grid)
        np.testing.assert_allclose(found[inside], expected[inside], atol=2e-3)
        np.testing.assert_allclose(found[outside], 0.0, atol=1e-6)


def test_a_patch_far_outside_is_fill(case: TrainingCase):
    lattice = np.diag([1.0, 1.0, 1.0, 1.0])
    lattice[:3, 3] = 900.0
    patch, fractions = sample_patch(case, lattice, 8, ((1,),), -125.0)
    np.testing.assert_allclose(patch.numpy(), -125.0, atol=1e-3)
    assert not fractions.any()


def test_random_points_lie_in_the_label_and_anywhere_else_in_the_image(case: TrainingCase):
    rng = np.random.default_rng(0)
    inverse = np.linalg.inv(case.ijk_to_ras)
    labels = case.labels.numpy()
    for _ in range(30):
        i, j, k = np.round((inverse @ [*case.random_point(rng, 6), 1.0])[:3]).astype(int)
        assert labels[k, j, i] == 6
        ijk = (inverse @ [*case.random_point(rng, 99), 1.0])[:3]  # a label that the case has not
        assert np.all((ijk >= 0) & (ijk <= np.array(labels.shape[::-1]) - 1))


def test_random_lattices_stay_in_their_limits():
    rng = np.random.default_rng(0)
    center = np.array([10.0, -20.0, 30.0])
    for _ in range(50):
        lattice = random_lattice(rng, center, 2.0, 32, degrees=12.0, scale=1.25)
        steps = np.linalg.norm(lattice[:3, :3], axis=0)
        assert np.all((steps > 2.0 / 1.25**1.3 - 1e-9) & (steps < 2.0 * 1.25**1.3 + 1e-9))
        np.testing.assert_allclose((lattice @ [15.5, 15.5, 15.5, 1.0])[:3], center, atol=1e-9)
        cosines = np.diag(lattice[:3, :3] / steps)
        assert np.all(cosines > np.cos(np.radians(12.0)) ** 2 - 1e-2)
    exact = random_lattice(rng, center, 2.0, 32, degrees=0.0, scale=1.0)
    np.testing.assert_allclose(exact[:3, :3], 2.0 * np.eye(3))


def test_degraded_patches_keep_place_mean_and_shape():
    image = torch.zeros(16, 16, 16)
    image[4:12, 4:12, 4:12] = 100.0
    changed = 0
    for seed in range(30):
        found = degrade(image, np.random.default_rng(seed), noise=10.0, thickest=4)
        assert found.shape == image.shape
        assert float(found.mean()) == pytest.approx(12.5, abs=0.7)
        assert float(found[6:10, 6:10, 6:10].mean()) == pytest.approx(100.0, abs=12.0)
        center = [
            float(
                (found.clamp(min=0).sum(dim=[a for a in range(3) if a != axis]) * torch.arange(16)).sum()
                / found.clamp(min=0).sum()
            )
            for axis in range(3)
        ]
        np.testing.assert_allclose(center, 7.5, atol=0.3)
        changed += not torch.equal(found, image)
    assert 15 < changed < 30
