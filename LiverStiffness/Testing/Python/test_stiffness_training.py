"""Training of LiverStiffness's network: batches whose labels follow the image, and what the loss counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stiffness_phantoms import FEATURES, GRAYS, LIVER_SHAPE, SPLEEN_SHAPE, margin_in, read_by_hand, scan_grid

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from LiverStiffnessLib.labels import ASCITES, CLASSES, LIVER, SPLEEN  # noqa: E402
from LiverStiffnessLib.learning.cases import LEVELS, TARGETS, SliceStack  # noqa: E402
from LiverStiffnessLib.learning.collecting import covariates_of_masks  # noqa: E402
from LiverStiffnessLib.learning.training import (  # noqa: E402
    LIVER_PIXELS,
    TARGET_MEAN,
    TARGET_SD,
    Sampling,
    SliceSource,
    WithSigns,
    multitask_loss,
    segmentation_loss,
)
from LiverStiffnessLib.measuring.ordinal import covariates_of  # noqa: E402
from LiverStiffnessLib.segmenting import network  # noqa: E402
from LiverStiffnessLib.segmenting.network import GRAY_HIGH, GRAY_LOW, SEQUENCES  # noqa: E402
from PrognosisLib.slicewise.multitask import MultiTaskNetwork  # noqa: E402

SIZE = (96, 128)
T2, T1, OTHER = range(len(SEQUENCES))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def a_stack(sequence: str = "T2", name: str = "simulated_00001", simulated: bool = True) -> SliceStack:
    """The phantom's organs as a stack: a gray body, liver and spleen as bright as the sequence has them."""
    grid = read_by_hand(scan_grid((2.0, 2.0, 8.0))).slices.grid
    points = grid.to_ras(np.indices(grid.shape).reshape(3, -1).T)
    body = ((points[:, 0] / 135) ** 2 + (points[:, 1] / 95) ** 2 < 1).reshape(grid.shape)
    values = np.where(body, 0.0, -1.5)
    labels = np.zeros(grid.shape, np.uint8)
    for label, shape in ((LIVER, LIVER_SHAPE), (SPLEEN, SPLEEN_SHAPE)):
        inside = margin_in(shape, grid) > 0
        labels[inside], values[inside] = label, 2.0 * GRAYS[sequence][label]
    gray = np.round((values - GRAY_LOW) * LEVELS / (GRAY_HIGH - GRAY_LOW)).astype(np.uint8)
    targets = (TARGET_MEAN + TARGET_SD * np.arange(len(TARGETS))).astype(np.float32)
    return SliceStack(name, SEQUENCES.index(sequence), gray, labels, grid.ijk_to_ras, targets, simulated)


def source(*stacks: SliceStack, **sampling) -> SliceSource:
    return SliceSource([stacks], Sampling(size=SIZE, **sampling))


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_has_the_right_shapes_and_is_determined_by_its_seed():
    draw = source(a_stack("T2"), a_stack("T1"), batch=6)
    image, target = draw(np.random.default_rng(0))
    assert image.shape == (6, network.CHANNELS, *SIZE)
    assert target["labels"].shape == (6, *SIZE)
    assert target["signs"].shape == (6, len(TARGETS))
    assert image.dtype == target["signs"].dtype == torch.float32
    assert target["labels"].dtype == target["sequence"].dtype == torch.int64
    low, high = (network.to_input(np.float32(value)) for value in (GRAY_LOW, GRAY_HIGH))
    assert float(low) - 1e-6 <= image.min() < image.max() <= float(high) + 1e-6
    again, _ = draw(np.random.default_rng(0))
    assert torch.equal(image, again)
    other, _ = draw(np.random.default_rng(1))
    assert not torch.equal(image, other)


def test_labels_follow_the_image_and_no_patient_is_mirrored():
    image, target = source(a_stack("T2"), a_stack("T1"), batch=40)(np.random.default_rng(0))
    shown = 0
    for planes, labels, sequence in zip(
        image.numpy(), target["labels"].numpy(), target["sequence"].tolist(), strict=True
    ):
        liver, spleen = labels == LIVER, labels == SPLEEN
        if min(liver.sum(), spleen.sum()) < 100:
            continue
        shown += 1
        brighter = np.median(planes[1][spleen]) > np.median(planes[1][liver])
        assert brighter == (sequence == T2)
        # i runs to the right: the liver stays on the patient's right.
        assert np.argwhere(liver)[:, 1].mean() > np.argwhere(spleen)[:, 1].mean() + 20
    assert shown > 12
    assert {T2, T1} == set(target["sequence"].tolist())


def test_signs_are_known_where_the_liver_is_seen():
    image, target = source(a_stack(), batch=60, on_liver=0.4)(np.random.default_rng(1))
    assert image.shape[0] == 60
    seen = ~torch.isnan(target["signs"]).any(dim=1)
    np.testing.assert_allclose(target["signs"][seen], np.tile(np.arange(len(TARGETS)), (int(seen.sum()), 1)), atol=1e-4)
    pixels = (target["labels"] == LIVER).sum(dim=(1, 2))
    assert pixels[seen].float().median() > LIVER_PIXELS
    assert (pixels[~seen] < 3 * LIVER_PIXELS).all()
    assert 0 < int(seen.sum()) < 60
    real = replace(a_stack(), targets=np.full(len(TARGETS), np.nan, np.float32), simulated=False)
    assert torch.isnan(source(real, batch=8)(np.random.default_rng(0))[1]["signs"]).all()


def test_each_kind_of_examination_has_its_share():
    """Told apart by their sequence here; a kind that is missing leaves its share to one that is there."""
    kinds = [
        [a_stack("T2", "chaos_01", False)],
        [a_stack("T1", "chaos_01_30001")],
        [a_stack("other", "simulated_00001")],
    ]
    draw = SliceSource(kinds, Sampling(size=(32, 32), batch=300, real=0.5, on_real=0.3))
    counts = np.bincount(draw(np.random.default_rng(0))[1]["sequence"], minlength=3) / 300
    np.testing.assert_allclose(counts, [0.5, 0.3, 0.2], atol=0.09)
    only = SliceSource(kinds[2:], Sampling(size=(32, 32), batch=20, real=0.5))
    assert set(only(np.random.default_rng(0))[1]["sequence"].tolist()) == {OTHER}
    with pytest.raises(ValueError, match="No training case is left"):
        SliceSource([])


# --- the loss ---------------------------------------------------------------------------------------------------------


def a_target(seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, len(CLASSES), (4, 32, 32), generator=generator)
    signs = torch.randn(4, len(TARGETS), generator=generator)
    return {"labels": labels, "sequence": torch.tensor([T2, T1, T2, OTHER]), "signs": signs}


def an_output(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    told = torch.randn(4, 2 * len(TARGETS), generator=generator)
    logits = torch.randn(4, len(CLASSES), 32, 32, generator=generator)
    return logits, torch.randn(4, len(SEQUENCES), generator=generator), told


def test_signs_that_are_not_known_and_other_sequences_take_no_part():
    logits, detection, told = an_output()
    target = a_target()
    target["signs"][1, 2] = torch.nan
    wanted = float(multitask_loss((logits, detection, told), target))
    assert np.isfinite(wanted)
    changed = told.clone()
    changed[1], changed[3] = 50.0, -50.0  # not known; diffusion
    assert float(multitask_loss((logits, detection, changed), target)) == pytest.approx(wanted)
    changed[0, : len(TARGETS)] += 5.0
    assert abs(float(multitask_loss((logits, detection, changed), target)) - wanted) > 0.05
    nothing = {**target, "signs": torch.full((4, len(TARGETS)), torch.nan)}
    only = segmentation_loss(logits, target["labels"]) + 0.15 * F.cross_entropy(detection, target["sequence"])
    assert float(multitask_loss((logits, detection, told), nothing)) == pytest.approx(float(only))


def test_doubt_pays_where_a_sign_is_told_wrong_and_costs_where_it_is_told_right():
    logits, detection, _ = an_output()
    target = a_target()
    right, wrong = target["signs"], target["signs"] + 3.0
    losses = {
        (name, doubt): float(
            multitask_loss((logits, detection, torch.cat([mean, torch.full_like(mean, doubt)], 1)), target)
        )
        for name, mean in (("right", right), ("wrong", wrong))
        for doubt in (-2.0, 2.0)
    }
    assert losses["right", -2.0] < losses["right", 2.0]
    assert losses["wrong", 2.0] < losses["wrong", -2.0]
    assert losses["right", -2.0] < losses["wrong", 2.0]


def test_a_right_answer_costs_less_than_each_that_is_wrong_in_one_part():
    target = a_target()
    logits = 60.0 * F.one_hot(target["labels"], len(CLASSES)).permute(0, 3, 1, 2).float()
    detection = 40.0 * F.one_hot(target["sequence"], len(SEQUENCES)).float()
    told = torch.cat([target["signs"], torch.full((4, len(TARGETS)), -5.0)], 1)
    best = float(multitask_loss((logits, detection, told), target))
    assert float(segmentation_loss(logits, target["labels"])) < 0.01
    for wrong in ((-logits, detection, told), (logits, -detection, told), (logits, detection, told + 1.0)):
        assert float(multitask_loss(wrong, target)) > best + 0.1


def test_a_batch_without_any_organ_has_a_finite_loss():
    target = a_target()
    target["labels"][:] = 0
    assert np.isfinite(float(multitask_loss(an_output(), target)))


def test_a_few_steps_on_one_examination_lower_the_loss():
    torch.manual_seed(0)
    tiny = MultiTaskNetwork(network.CHANNELS, len(CLASSES), (6, 8, 12), FEATURES, LIVER, len(SEQUENCES))
    model = WithSigns(tiny, FEATURES)
    draw = SliceSource([[a_stack("T2"), a_stack("T1")]], Sampling(size=(64, 96), batch=4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    found = []
    for step in range(25):
        image, target = draw(np.random.default_rng([0, step]))
        loss = multitask_loss(model(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert np.isfinite(found).all()
    assert np.mean(found[-5:]) < 0.8 * np.mean(found[:5])


def test_the_network_is_the_one_that_inference_expects():
    model = network.build().eval()
    with torch.no_grad():
        logits, detection, features, maps = model(torch.zeros(2, network.CHANNELS, 64, 96))
    assert logits.shape == (2, len(CLASSES), 64, 96)
    assert detection.shape == (2, len(SEQUENCES))
    assert features.shape == (2, network.FEATURES)
    assert maps.shape == (2, network.FEATURES, 16, 24)


# --- what is collected ------------------------------------------------------------------------------------------------


def test_covariates_of_masks_are_those_of_their_volumes():
    stack = a_stack()
    voxel_ml = abs(np.linalg.det(stack.ijk_to_ras[:3, :3])) / 1000
    inside = {label: stack.labels == label for label in (LIVER, SPLEEN, ASCITES)}
    found = covariates_of_masks(inside, voxel_ml)
    np.testing.assert_allclose(found, covariates_of(SPLEEN_SHAPE.volume_ml, LIVER_SHAPE.volume_ml, 0.0), atol=0.06)
    assert np.isnan(covariates_of_masks({**inside, SPLEEN: np.zeros(2, bool)}, voxel_ml)[0])
