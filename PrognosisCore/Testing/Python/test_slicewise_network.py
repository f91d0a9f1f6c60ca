"""A slice network's input, its run over a scan in batches, and what its logits mean."""

from __future__ import annotations

import numpy as np

from PrognosisLib.slicewise.network import margin_of, pooled, probability, run_in_batches, with_neighbors


class Watching:
    """A stand-in for a network: the middle slice, and its mean as detection; keeps what it was given."""

    device = "CPU (stand-in)"

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def outputs(self, image: np.ndarray) -> list[np.ndarray]:
        self.seen.append(image)
        return [image[:, 1:2], image[:, 1].mean(axis=(1, 2))[:, None]]


def some_logits(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 5, (2, 5, 4, 8)).astype(np.float32)


def test_every_slice_stands_between_its_neighbors_and_the_ends_stand_twice():
    slices = np.random.default_rng(0).normal(size=(5, 4, 6)).astype(np.float32)
    image = with_neighbors(slices)
    assert image.shape == (5, 3, 4, 6)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[:, 1], slices)
    np.testing.assert_array_equal(image[1:, 0], slices[:-1])
    np.testing.assert_array_equal(image[:-1, 2], slices[1:])
    np.testing.assert_array_equal(image[0, 0], slices[0])
    np.testing.assert_array_equal(image[-1, 2], slices[-1])
    np.testing.assert_array_equal(with_neighbors(slices[:1]), np.repeat(slices[:1], 3, axis=0)[None])


def test_every_slice_is_seen_once_in_batches():
    image = np.random.default_rng(0).normal(size=(37, 3, 4, 6)).astype(np.float32)
    for batch, sizes in ((16, [16, 16, 5]), (37, [37]), (50, [37])):
        network = Watching()
        planes, means = run_in_batches(network, image, batch)
        assert [len(one) for one in network.seen] == sizes
        np.testing.assert_array_equal(np.concatenate(network.seen), image)
        np.testing.assert_array_equal(planes, image[:, 1:2])
        np.testing.assert_allclose(means, image[:, 1].mean(axis=(1, 2))[:, None])


def test_margin_is_the_log_odds_of_one_class():
    logits = some_logits()
    shares = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    for label in range(5):
        p = shares[:, label]
        np.testing.assert_allclose(probability(logits, label), p, atol=1e-6)
        np.testing.assert_allclose(margin_of(logits, label), np.log(p / (1 - p)), atol=1e-3)
    far = np.array([-3e4, 3e4, 0.0], np.float32).reshape(1, 3, 1, 1)
    assert np.isfinite(margin_of(far, 0)).all()
    assert [float(probability(far, label)[0, 0, 0]) for label in range(3)] == [0.0, 1.0, 0.0]


def test_pooled_is_the_mean_over_four_by_four_pixels():
    share = np.arange(2 * 8 * 12, dtype=float).reshape(2, 8, 12)
    found = pooled(share)
    assert found.shape == (2, 2, 3)
    assert found[1, 0, 2] == share[1, :4, 8:].mean()
    assert found.mean() == share.mean()
