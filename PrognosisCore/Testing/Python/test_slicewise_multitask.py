"""The multi-task slice network: shapes, the pooled class, several detections, and the names of its parameters."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PrognosisLib.slicewise.multitask import MultiTaskNetwork  # noqa: E402
from PrognosisLib.slicewise.network import SMALLEST_SUM, pooled, probability  # noqa: E402

CLASSES, WIDTHS, FEATURES = 4, (6, 8, 12), 5


def tiny(pooled_class: int = 1, detections: int = 1) -> MultiTaskNetwork:
    torch.manual_seed(0)
    return MultiTaskNetwork(3, CLASSES, WIDTHS, FEATURES, pooled_class, detections).eval()


def images(n: int = 2) -> torch.Tensor:
    return torch.randn(n, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("detections", [1, 3])
def test_every_output_has_its_shape(detections):
    with torch.no_grad():
        shapes = [tuple(one.shape) for one in tiny(detections=detections)(images())]
    assert shapes == [(2, CLASSES, 64, 96), (2, detections), (2, FEATURES), (2, FEATURES, 16, 24)]


@pytest.mark.parametrize("label", [1, 3])
def test_features_are_the_evidence_pooled_over_the_chosen_class(label):
    with torch.no_grad():
        logits, _, features, evidence = (one.numpy() for one in tiny(label)(images()))
    share = pooled(probability(logits, label))
    wanted = np.einsum("sji,sfji->sf", share, evidence) / (share.sum(axis=(1, 2)) + SMALLEST_SUM)[:, None]
    np.testing.assert_allclose(features, wanted, rtol=1e-4, atol=1e-6)
    assert np.abs(features).max() > 1e-3


def test_features_do_not_move_the_masks():
    """The class's share in the pooling is taken as given, so that segmenting is learned from masks alone."""
    model = tiny().train()
    model(images())[2].sum().backward()
    assert model.head.weight.grad is None
    assert model.fine.weight.grad.abs().sum() > 0


def test_the_names_of_the_parameters_are_those_of_the_bundles():
    """Another name, and the weights of a bundle that was trained before would no longer load."""
    parts = {name.split(".")[0] for name in tiny().state_dict()}
    assert parts == {"stem", "encoder", "down", "up", "decoder", "head", "detect", "fine", "coarse", "mix"}
    block = {name for name in tiny().state_dict() if name.startswith("encoder.0.") and name.endswith("weight")}
    assert block == {f"encoder.0.{part}.weight" for part in ("first", "first_norm", "second", "second_norm")}
