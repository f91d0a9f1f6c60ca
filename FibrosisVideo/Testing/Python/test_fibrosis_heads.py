"""The heads in numpy against torch: scores of an LSTM and of a linear layer, their gradients, their text."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.learning.head_training import Classifier
from FibrosisVideoLib.networks.catalog import features_of
from FibrosisVideoLib.networks.heads import LinearHead, RecurrentHead, head_from_dict

FEATURES, UNITS, STEPS = 7, 5, 16


class Recurrent(nn.Module):
    """The same head in torch, in double precision."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.lstm = nn.LSTM(FEATURES, UNITS, batch_first=True).double()
        self.read = nn.Linear(UNITS, 1).double()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.read(self.lstm(features[None])[0])[0, :, 0]

    def head(self) -> RecurrentHead:
        arrays = [getattr(self.lstm, name).detach().numpy() for name in ("weight_ih_l0", "weight_hh_l0")]
        offset = (self.lstm.bias_ih_l0 + self.lstm.bias_hh_l0).detach().numpy()
        return RecurrentHead(*arrays, offset, self.read.weight.detach().numpy()[0], float(self.read.bias.detach()))


def features(seed: int, steps: int = STEPS) -> np.ndarray:
    return 2 * np.random.default_rng(seed).standard_normal((steps, FEATURES))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("steps", [1, STEPS])
def test_an_lstm_says_what_torch_s_says(seed, steps):
    network, x = Recurrent(seed), features(seed, steps)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(network.head().steps(x), expected, atol=1e-10)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("steps", [1, STEPS])
def test_an_lstm_s_gradient_is_torch_s(seed, steps):
    network, x = Recurrent(seed), torch.from_numpy(features(seed, steps)).requires_grad_()
    network(x).sum().backward()
    np.testing.assert_allclose(network.head().gradient(x.detach().numpy()), x.grad.numpy(), atol=1e-10)


def test_the_first_step_s_features_matter_later_on():
    head, x = Recurrent(1).head(), features(1)
    changed = x.copy()
    changed[0] += 1
    assert np.abs(head.steps(changed) - head.steps(x))[1:].max() > 1e-4


def test_a_linear_head_is_linear():
    head, x = LinearHead(np.arange(FEATURES) - 3.0, 0.25), features(0)
    np.testing.assert_allclose(head.steps(x), x @ (np.arange(FEATURES) - 3.0) + 0.25)
    gradient = head.gradient(x)
    np.testing.assert_allclose((gradient * x).sum(axis=1) + head.bias, head.steps(x))


@pytest.mark.parametrize("model", list(MODELS))
def test_a_classifier_s_head_is_its_last_layers(model):
    """Of pooled features: what the classifier makes of them, with the 3D network taken away."""
    torch.manual_seed(2)
    classifier = Classifier(model).eval()
    size = features_of("2d" if model == "lstm" else model)
    x = np.random.default_rng(0).standard_normal((STEPS, size)).astype(np.float32)
    seen = torch.from_numpy(x)
    with torch.no_grad():
        expected = float(classifier.score(seen)[:, 0].mean() if model == "3d" else classifier(seen[None])[0])
    assert classifier.head().steps(x).mean() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("head", [LinearHead(np.array([0.5, -1.25, 3.0]), -0.75), Recurrent(3).head()])
def test_heads_come_back_from_their_text(head):
    again = head_from_dict(json.loads(json.dumps(head.to_dict())))
    assert type(again) is type(head)
    x = features(5)[:, : 3 if isinstance(head, LinearHead) else FEATURES]
    np.testing.assert_allclose(again.steps(x), head.steps(x), atol=1e-4)
    np.testing.assert_allclose(again.gradient(x), head.gradient(x), atol=1e-4)


GOOD = Recurrent(0).head().to_dict()
LINEAR = LinearHead(np.ones(3), 0.0).to_dict()


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"kind": "linear"},
        {"kind": "linear", "weights": [1.0, float("nan")], "bias": 0.0},
        {**LINEAR, "bias": float("inf")},
        {**LINEAR, "bias": None},
        {**LINEAR, "weights": "many"},
        {**LINEAR, "weights": [[1.0, 2.0], [3.0, 4.0]]},
        {**LINEAR, "weights": []},
        {**LINEAR, "kind": "cubic"},
        {**GOOD, "kind": "cubic"},
        {key: value for key, value in GOOD.items() if key != "offset"},
        {key: value for key, value in GOOD.items() if key != "bias"},
        {**GOOD, "offset": GOOD["offset"][:-1]},
        {**GOOD, "recurrent": GOOD["recurrent"][:-1]},
        {**GOOD, "inward": GOOD["inward"][:-1]},
        {**GOOD, "inward": [1.0] * 20},
        {**GOOD, "weights": GOOD["weights"][:-1]},
        {**GOOD, "bias": float("nan")},
    ],
)
def test_damaged_heads_are_refused(damaged):
    with pytest.raises((KeyError, TypeError, ValueError)):
        head_from_dict(damaged)
