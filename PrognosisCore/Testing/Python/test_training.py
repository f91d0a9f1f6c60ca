"""The training loop learns, stops and resumes; patches show the patient where he is; the loss has its limits."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from PrognosisLib.errors import InputError
from PrognosisLib.learning.patches import TrainingCase, degrade, random_lattice, sample_patch
from PrognosisLib.learning.stopping import Best, Stopping, Watch, check_patience, watch_of
from PrognosisLib.learning.training import Batch, LoopSettings, TrainingRun, segmentation_loss
from PrognosisLib.learning.unet import HalfResolutionUNet
from PrognosisLib.validation.figures import learning_figure
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


# --- early stopping ---------------------------------------------------------------------------------------------------


def noise(rng: np.random.Generator) -> Batch:
    """Masks that have nothing to do with the images: no training helps on them."""
    image, _ = sphere(rng)
    return image, sphere(rng)[1]


def watched(folder: Path, draw=noise, steps: int = 60, patience: int = 2, **more) -> TrainingRun:
    settings = replace(QUICK, steps=steps, **more)
    return TrainingRun(tiny(), sphere, settings, folder, watch=Watch(draw, patience, every=4, batches=2))


def log_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "log.csv").open()))


def test_training_stops_where_others_gain_nothing_and_keeps_the_best_weights(tmp_path: Path):
    run = watched(tmp_path)
    assert run.run()
    assert run.step < 60
    rows = [row for row in log_of(tmp_path) if row["validation_loss"]]
    assert [int(row["step"]) for row in rows] == list(range(4, run.step + 1, 4))
    losses = [float(row["validation_loss"]) for row in rows]
    best = int(np.argmin(losses))
    assert len(losses) - 1 - best == 2
    assert run.stopping == Stopping(run.step, 60, int(rows[best]["step"]), losses[best], 2, 4)
    assert f"stopped at step {run.step} of 60; the weights are those of step {run.best.step}" in run.stopping.text
    alone = a_run(tmp_path / "alone", replace(QUICK, steps=60))
    while alone.step < run.best.step:
        alone.run(stop_after_seconds=0.0)
    for mine, others in zip(alone.averaged.parameters(), run.final_network(2).parameters(), strict=True):
        torch.testing.assert_close(mine, others, rtol=1e-4, atol=1e-5)


def test_who_watches_changes_no_weight_and_a_run_that_helps_goes_on(tmp_path: Path):
    run, alone = watched(tmp_path / "watched", sphere, 24, 3), a_run(tmp_path / "alone")
    assert run.run()
    assert alone.run()
    assert run.stopping.stopped_at == run.stopping.of == 24
    assert run.stopping.text.startswith("went to step 24 of 24")
    for mine, others in zip(run.network.parameters(), alone.network.parameters(), strict=True):
        torch.testing.assert_close(mine, others, rtol=1e-4, atol=1e-5)
    assert alone.stopping is None
    assert list(log_of(tmp_path / "alone")[0]) == ["step", "loss", "seconds_since_start"]


def test_a_watched_run_that_was_interrupted_ends_alike(tmp_path: Path):
    whole = watched(tmp_path / "whole")
    whole.run()
    parts = watched(tmp_path / "parts")
    while not parts.run(stop_after_seconds=0.0):
        parts = watched(tmp_path / "parts")
    assert parts.step == whole.step
    assert parts.best.step == whole.best.step
    assert parts.best.loss == pytest.approx(whole.best.loss, rel=1e-4)
    again = watched(tmp_path / "parts")
    assert again.is_done
    assert again.run()
    assert again.step == whole.step
    for name, value in whole.best.weights.items():
        torch.testing.assert_close(value, again.best.weights[name], rtol=1e-4, atol=1e-5)


@given(st.lists(st.floats(0, 9) | st.just(float("nan")), min_size=1))
def test_the_best_is_the_first_lowest_loss(losses: list[float]):
    best = Best()
    for step, loss in enumerate(losses, start=1):
        best.note(loss, step, {"w": torch.tensor(float(step))})
    known = [loss for loss in losses if not np.isnan(loss)]
    if known:
        assert best.loss == min(known)
        assert best.step == losses.index(min(known)) + 1 == float(best.weights["w"])
        assert best.misses == len(losses) - best.step
    else:
        assert (best.step, best.misses) == (0, len(losses))


def test_patience_needs_patients_who_are_kept_out():
    assert watch_of([], lambda kept: noise, 0, 100) is None
    found = watch_of(["p"], lambda kept: noise, 5, 4000)
    assert (found.patience, found.every) == (5, 100)
    with pytest.raises(InputError, match="only by patients kept out of it"):
        check_patience(5, 0)
    with pytest.raises(InputError, match="The patience is -1"):
        check_patience(-1, 3)


@pytest.mark.parametrize("is_watched", [True, False])
def test_learning_curves_are_drawn_beside_the_log(tmp_path: Path, is_watched: bool):
    run = watched(tmp_path, sphere, 8) if is_watched else a_run(tmp_path, replace(QUICK, steps=8))
    run.run()
    written = run.draw_curve("A network", simulated=True)
    assert [path.name for path in written] == ["learning.svg", "learning.png"]
    assert {path.parent for path in written} == {tmp_path}
    assert written[1].read_bytes().startswith(b"\x89PNG")
    axes = learning_figure({"training": [(1, 0.5), (2, 0.4)], "others": []}, "t", best_step=2).axes[0]
    assert [line.get_label() for line in axes.lines] == ["training", "weights kept: step 2"]


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
