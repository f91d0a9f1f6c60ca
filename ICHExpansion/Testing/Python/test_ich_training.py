"""Training of the slice network: cases, batches, the loss and what it leaves out, and the exported graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ich_heads import BLEED, simulated

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from ICHExpansionLib.labels import BACKGROUND, CLASSES, EDEMA, HEMATOMA, IGNORE  # noqa: E402
from ICHExpansionLib.learning.attention_training import (  # noqa: E402
    PatientFeatures,
    out_of_fold,
    score_of,
    train_attention,
)
from ICHExpansionLib.learning.slice_targets import TARGETS  # noqa: E402
from ICHExpansionLib.learning.training import (  # noqa: E402
    STEPS_HU,
    Sampling,
    SliceCase,
    SliceSource,
    WithSigns,
    multitask_loss,
    segmentation_loss,
)
from ICHExpansionLib.segmenting import network  # noqa: E402
from ICHExpansionLib.segmenting.attention import TERMS, AttentionModel  # noqa: E402
from PrognosisLib.slicewise.multitask import MultiTaskNetwork  # noqa: E402
from PrognosisLib.slicewise.network import SMALLEST_SUM  # noqa: E402
from PrognosisLib.volume import Volume  # noqa: E402

FEATURES = 5
SIZE, BATCH = 96, 4


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def case() -> SliceCase:
    made = simulated(replace(BLEED, heterogeneity=5.0))
    return SliceCase.from_volumes("one", made.volume(), made.label_volume(), simulated=True)


def tiny(seed: int = 0) -> MultiTaskNetwork:
    torch.manual_seed(seed)
    return MultiTaskNetwork(network.CHANNELS, len(CLASSES), (6, 8, 12), FEATURES, HEMATOMA)


# --- cases and batches ------------------------------------------------------------------------------------------------


def test_a_case_keeps_the_head_in_thirds_of_a_hounsfield_unit(case):
    made = simulated(replace(BLEED, heterogeneity=5.0))
    assert case.image.dtype == case.labels.dtype == np.uint8
    assert case.image.shape == case.labels.shape
    assert case.image.shape[0] == made.hu.shape[0]
    assert case.image.max() <= 80 * STEPS_HU
    blood = case.image[case.labels == HEMATOMA] / STEPS_HU
    assert blood.mean() == pytest.approx(made.hu[made.labels == HEMATOMA].mean(), abs=2.0)
    ml = np.count_nonzero(case.labels == HEMATOMA) * 5.0 / 1000  # pixels of 1 mm
    assert ml == pytest.approx(28.0, rel=0.06)
    assert case.targets.shape == (len(case.image), TARGETS)
    shows = (case.labels == HEMATOMA).sum(axis=(1, 2)) >= 12
    assert (np.isfinite(case.targets).all(axis=1) == shows).all()
    assert not case.single
    assert set(case.slices_with(HEMATOMA)) <= set(np.flatnonzero((case.labels == HEMATOMA).any(axis=(1, 2))))
    single = SliceCase.from_volumes("s", *(Volume(v.array[14:15], v.ijk_to_ras) for v in volumes_of(made)))
    assert single.single
    assert single.image.shape[0] == 1


def volumes_of(made):
    return made.volume(), made.label_volume()


def test_a_batch_has_the_right_shapes_and_labels_that_follow_the_image(case):
    source = SliceSource([case], Sampling(size=SIZE, batch=24))
    image, target = source(np.random.default_rng(0))
    assert image.shape == (24, 3, SIZE, SIZE)
    assert target["labels"].shape == (24, SIZE, SIZE)
    assert target["present"].shape == (24,)
    assert target["targets"].shape == (24, TARGETS)
    assert image.dtype == target["present"].dtype == target["targets"].dtype == torch.float32
    assert target["labels"].dtype == torch.int64
    assert image.min() >= -1
    assert image.max() <= 1
    hu = 40 * (image[:, 1].numpy() + 1)
    labels = target["labels"].numpy()
    shown = 0
    for plane, truth, present in zip(hu, labels, target["present"].numpy(), strict=True):
        blood, edema = truth == HEMATOMA, truth == EDEMA
        if blood.sum() < 60:
            continue
        shown += 1
        assert present == 1.0
        # Each slice by itself: a patch turned against its labels would lose the contrast.
        near = np.pad(blood, 6)
        ring = sum(np.roll(near, s, a) for a in (0, 1) for s in (-6, 6))[6:-6, 6:-6] > 0
        ring &= truth == BACKGROUND
        assert plane[blood].mean() > 50
        if edema.sum() > 60:
            assert plane[edema].mean() < plane[blood].mean() - 20
        if ring.sum() > 60:
            assert plane[ring].mean() < plane[blood].mean() - 12
    assert shown >= 8
    again, _ = source(np.random.default_rng(0))
    assert torch.equal(image, again)
    other, _ = source(np.random.default_rng(1))
    assert not torch.equal(image, other)


def test_presence_is_not_known_where_much_is_ignored(case):
    labels = np.where(case.labels == HEMATOMA, IGNORE, case.labels).astype(np.uint8)
    doubtful = replace(case, labels=labels)
    source = SliceSource([doubtful], Sampling(size=SIZE, batch=40, on_hematoma=0.0))
    _, target = source(np.random.default_rng(0))
    ignored = (target["labels"] == IGNORE).sum(dim=(1, 2)) > 300
    assert ignored.any()
    assert torch.isnan(target["present"][ignored]).all()
    clean = (target["labels"] == IGNORE).sum(dim=(1, 2)) == 0
    assert (target["present"][clean & ~torch.isnan(target["present"])] == 0).all()


def test_without_cases_there_is_no_training():
    with pytest.raises(ValueError, match="No training case is left"):
        SliceSource([])


# --- the loss ---------------------------------------------------------------------------------------------------------


def output_for(labels: torch.Tensor, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    n = len(labels)
    logits = torch.randn(n, len(CLASSES), *labels.shape[1:], generator=generator)
    return logits, torch.randn(n, 1, generator=generator), torch.randn(n, TARGETS, generator=generator)


def a_target(seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, len(CLASSES), (4, 32, 32), generator=generator)
    return {
        "labels": labels,
        "present": torch.tensor([1.0, 0.0, 1.0, 0.0]),
        "targets": torch.randn(4, TARGETS, generator=generator),
    }


def test_ignored_pixels_take_no_part():
    target = a_target()
    target["labels"][:, :16] = IGNORE
    output = output_for(target["labels"])
    wanted = multitask_loss(output, target)
    changed = (output[0].clone(), *output[1:])
    changed[0][:, :, :16] = 50.0 * torch.randn(4, len(CLASSES), 16, 32)
    assert multitask_loss(changed, target) == pytest.approx(float(wanted), rel=1e-5)
    changed[0][:, :, 16:] = 5.0 * torch.randn(4, len(CLASSES), 16, 32)
    assert abs(float(multitask_loss(changed, target)) - float(wanted)) > 0.1
    logits = output[0].clone().requires_grad_()
    segmentation_loss(logits, target["labels"]).backward()
    assert not logits.grad[:, :, :16].any()
    assert logits.grad[:, :, 16:].any()


def test_targets_that_are_not_known_take_no_part():
    target = a_target()
    target["present"][1] = np.nan
    target["targets"][2, 0] = np.nan
    logits, detection, told = output_for(target["labels"])
    wanted = float(multitask_loss((logits, detection, told), target))
    assert np.isfinite(wanted)
    detection, told = detection.clone(), told.clone()
    detection[1], told[2] = 99.0, -99.0
    assert float(multitask_loss((logits, detection, told), target)) == pytest.approx(wanted)
    detection[0] = -9.0
    assert float(multitask_loss((logits, detection, told), target)) > wanted + 0.1
    nothing = {**target, "present": torch.full((4,), np.nan), "targets": torch.full((4, TARGETS), np.nan)}
    only = float(segmentation_loss(logits, target["labels"]))
    assert float(multitask_loss((logits, detection, told), nothing)) == pytest.approx(only)


def test_a_perfect_answer_costs_next_to_nothing():
    target = a_target()
    logits = 60.0 * F.one_hot(target["labels"], len(CLASSES)).permute(0, 3, 1, 2).float()
    detection = 40.0 * (2 * target["present"] - 1)[:, None]
    assert float(multitask_loss((logits, detection, target["targets"]), target)) < 0.01


def test_a_batch_without_any_label_has_a_finite_loss():
    target = a_target()
    target["labels"][:] = BACKGROUND
    assert np.isfinite(float(multitask_loss(output_for(target["labels"]), target)))


def test_thirty_steps_on_one_case_lower_the_loss(case):
    model = WithSigns(tiny(), FEATURES)
    source = SliceSource([case], Sampling(size=SIZE, batch=BATCH, on_hematoma=1.0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    found = []
    for step in range(30):
        image, target = source(np.random.default_rng([0, step]))
        loss = multitask_loss(model(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert np.isfinite(found).all()
    assert np.mean(found[-5:]) < 0.75 * np.mean(found[:5])


# --- the network ------------------------------------------------------------------------------------------------------


def test_features_are_the_evidence_pooled_over_the_networks_own_hematoma():
    model = tiny().eval()
    image = torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, detection, features, evidence = model(image)
    assert logits.shape == (3, len(CLASSES), 64, 96)
    assert detection.shape == (3, 1)
    assert features.shape == (3, FEATURES)
    assert evidence.shape == (3, FEATURES, 16, 24)
    share = torch.softmax(logits, dim=1)[:, HEMATOMA].reshape(3, 16, 4, 24, 4).mean(dim=(2, 4)).numpy()
    pooled = np.einsum("sji,sfji->sf", share, evidence.numpy()) / (share.sum(axis=(1, 2)) + SMALLEST_SUM)[:, None]
    np.testing.assert_allclose(features.numpy(), pooled, rtol=1e-4, atol=1e-6)
    assert np.abs(features.numpy()).max() > 1e-3
    # And so the heat of a score that is linear in them sums to it.
    attention = AttentionModel(
        np.zeros((1, FEATURES)),
        np.zeros(1),
        np.ones((1, FEATURES)),
        np.full(FEATURES, 0.3),
        np.zeros(TERMS),
        0.0,
        -1.0,
        1.0,
    )
    areas = np.array([100.0, 400.0, 0.0])
    heat = attention.heat(features.numpy(), areas, evidence.numpy(), share)
    assert heat.sum() == pytest.approx(attention.pool(features.numpy(), areas, 12.0, 0.0).raw, rel=1e-4)


def test_the_loss_of_the_signs_does_not_move_the_masks():
    """The hematoma's share in the pooling is taken as given, so that segmenting is learned from masks alone."""
    model = WithSigns(tiny(), FEATURES)
    logits, _, told = model(torch.randn(2, 3, 32, 32))
    told.sum().backward()
    assert model.network.head.weight.grad is None
    assert model.network.fine.weight.grad.abs().sum() > 0
    assert logits.requires_grad


def test_the_exported_graph_gives_all_four_outputs_for_any_size(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from PrognosisLib.bundles.export import export_onnx

    model = tiny(3)
    with torch.no_grad():  # statistics of batch normalization that are not the defaults
        model.train()
        model(torch.randn(4, 3, 64, 64))
    # The file keeps kernels in half precision: what it is held to has the same.
    half = {
        name: value.half().to(value.dtype) if value.ndim >= 2 else value for name, value in model.state_dict().items()
    }
    model.load_state_dict(half)
    graph = tmp_path / "slices.onnx"
    export_onnx(model, graph, tmp_path / "slices.safetensors", (2, 3, 64, 96), outputs=network.OUTPUTS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == list(network.OUTPUTS)
    for shape in ((2, 3, 64, 96), (5, 3, 96, 32), (1, 3, 160, 128)):
        image = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            wanted = model.eval()(image)
        for name, one, other in zip(network.OUTPUTS, session.run(None, {"image": image.numpy()}), wanted, strict=True):
            assert one.shape == tuple(other.shape), name
            np.testing.assert_allclose(one, other.numpy(), atol=1e-3, err_msg=name)


# --- the slice attention ----------------------------------------------------------------------------------------------


def patients(count: int = 60, seed: int = 0) -> list[PatientFeatures]:
    """Expected outcomes follow the volume and the second feature of the slabs with blood; scans differ in length."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        slabs = int(rng.integers(4, 9))
        features = rng.normal(size=(slabs, 4)) * [1, 1, 5, 0.1]
        areas = rng.uniform(50, 800, slabs) * (rng.random(slabs) < 0.7)
        areas[0] = 200.0
        told, volume = features[areas > 10, 1].mean(), float(rng.lognormal(2.5, 0.8))
        expected = 1 / (1 + np.exp(-(2.0 * told + 0.8 * np.log(volume / 12) - 0.5)))
        found.append(PatientFeatures(f"p{number}", features, areas, volume, float(rng.random() < 0.3), float(expected)))
    return found


@pytest.fixture(scope="module")
def trained() -> AttentionModel:
    return train_attention(patients(), steps=300)


def test_attention_finds_what_the_outcome_follows(trained):
    new = patients(80, 5)
    scores = np.array([score_of(trained, one) for one in new])
    expected = np.array([one.expected for one in new])
    assert np.corrcoef(scores, expected)[0, 1] > 0.8
    assert scores.min() >= 0
    assert scores.max() <= 1
    own = np.array([score_of(trained, one) for one in patients()])
    assert np.mean((own > 0) & (own < 1)) > 0.9


def test_training_and_pooling_compute_the_same_raw_score(trained):
    """The ends of the score are percentiles of what training computed in its own padded form."""
    raw = [trained.pool(p.features, p.areas_mm2, p.volume_ml, p.ventricular_ml).raw for p in patients()]
    np.testing.assert_allclose(np.percentile(raw, [1, 99]), [trained.low, trained.high], atol=0.05)


def test_attention_is_determined_by_its_arguments(trained):
    again = train_attention(patients(), steps=300)
    assert again.to_dict() == trained.to_dict()
    assert train_attention(patients(), seed=1, steps=300).to_dict() != trained.to_dict()


def test_padding_is_never_used():
    """Not even where no slab has hematoma: scans of different lengths are pooled in training as they are later."""
    bare = [replace(one, areas_mm2=np.zeros(len(one.areas_mm2))) for one in patients(4, 8)]
    assert len({len(one.features) for one in bare}) > 1
    model = train_attention(bare, steps=300)
    raw = [model.pool(p.features, p.areas_mm2, p.volume_ml, p.ventricular_ml).raw for p in bare]
    np.testing.assert_allclose(np.percentile(raw, [1, 99]), [model.low, model.high], atol=0.02)


def test_scores_for_fitting_come_from_patients_that_were_not_seen(monkeypatch):
    """Each patient's score is from an attention trained without it, and every patient gets one."""
    import ICHExpansionLib.learning.attention_training as training

    seen = []

    def fake(known, seed=0, steps=0):
        seen.append({one.case for one in known})
        return seen[-1]

    monkeypatch.setattr(training, "train_attention", fake)
    monkeypatch.setattr(training, "score_of", lambda known, one: 0.5 if one.case not in known else -1.0)
    scores = out_of_fold(patients(23))
    assert (scores == 0.5).all()
    assert len(seen) == training.FOLDS
